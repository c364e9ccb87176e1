"""What a checkpoint of a module holds: the trained weights, and enough to refuse those of another model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from hpedit.lora import LoRA
from hpedit.modules.guard import UpdateGuard

KEY = "hpedit"
_SHARDED = "meta.pt"  # in a sharded checkpoint's folder: all that is not sharded


@runtime_checkable
class EditorModule(Protocol):
    """A module whose checkpoints are written here."""

    editor: Any
    lora: LoRA | None
    guard: UpdateGuard

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]: ...


def describe(module: EditorModule) -> dict[str, Any]:
    """Return what must be equal for a checkpoint to fit: the editor's class and the adapter's shape."""
    lora = module.lora
    return {
        "editor": type(module.editor).__name__,
        "rank": None if lora is None else lora.rank,
        "alpha": None if lora is None else float(lora.alpha),
    }


def write(checkpoint: dict[str, Any], module: EditorModule) -> None:
    """Drop every frozen weight from ``checkpoint``; add what describes it and the skipped updates. In place."""
    trained = _trained(module)
    checkpoint["state_dict"] = {k: v for k, v in checkpoint["state_dict"].items() if k in trained}
    checkpoint[KEY] = {"description": describe(module), "guard": module.guard.state_dict()}


def read(checkpoint: dict[str, Any], module: EditorModule) -> None:
    """Take over what ``write`` added; the weights are Lightning's to restore.

    Raises ValueError if the checkpoint is of another editor or adapter, or its weights are not the trained ones.
    """
    _expect_same(checkpoint, describe(module), "--ckpt_path")
    if "guard" in checkpoint[KEY]:
        module.guard.load_state_dict(checkpoint[KEY]["guard"])
    else:  # of a version that did not keep it; neither weights nor noise depend on it
        rank_zero_warn(
            "--ckpt_path: an older checkpoint, without the count of skipped updates: it starts at 0"
        )
    if "state_dict" not in checkpoint:
        return  # a sharded checkpoint is read by the strategy, not from this dictionary
    wanted, found = _trained(module), checkpoint["state_dict"]
    for name in sorted(wanted.keys() ^ found.keys()):
        has, lacks = ("run", "checkpoint") if name in wanted else ("checkpoint", "run")
        raise ValueError(
            f"--ckpt_path: wanted the {len(wanted)} trained weights of this run, got {len(found)}; the {has} has "
            f"{name}, which the {lacks} lacks (--model.lora.targets, or another size of model)"
        )
    for name, weight in wanted.items():
        if found[name].shape != weight.shape:
            raise ValueError(
                f"--ckpt_path: wanted {name} of shape {tuple(weight.shape)}, got {tuple(found[name].shape)}: a "
                "checkpoint of another size of model"
            )


def verify_file(path: str, module: EditorModule) -> None:
    """Raise ValueError if the checkpoint at ``path`` cannot be read or is not of ``module``. Reads no weights."""
    place = Path(path)
    if not place.exists():
        raise ValueError(f"--ckpt_path: no such checkpoint: {path}")
    try:
        file = place / _SHARDED if place.is_dir() else place
        checkpoint = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # torch.load documents none of the errors it raises for a bad file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"--ckpt_path {path}: not a checkpoint of plain tensors: {reason}") from error
    _expect_same(checkpoint, describe(module), f"--ckpt_path {path}")


def _expect_same(checkpoint: dict[str, Any], wanted: dict[str, Any], flag: str) -> None:
    found = checkpoint.get(KEY, {}).get("description")
    if found != wanted:
        raise ValueError(
            f"{flag}: wanted a checkpoint of {_in_words(wanted)} (--model.editor, --model.lora), got one of "
            f"{'another program' if found is None else _in_words(found)}"
        )


def _in_words(description: dict[str, Any]) -> str:
    rank, alpha = description["rank"], description["alpha"]
    trained = "all weights trained" if rank is None else f"a LoRA of rank {rank} and alpha {alpha:g}"
    return f"{description['editor']} with {trained}"


def _trained(module: EditorModule) -> dict[str, Tensor]:
    return {name: p for name, p in module.named_parameters() if p.requires_grad}
