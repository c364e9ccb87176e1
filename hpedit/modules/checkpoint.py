"""What a checkpoint of a module holds: the trained weights, and enough to refuse those of another model."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule

from hpedit.lora import LoRA

KEY = "hpedit"


def describe(editor: object, lora: LoRA | None) -> dict[str, Any]:
    """Return what must be equal for a checkpoint to fit: the editor's class and the adapter's shape."""
    return {
        "editor": type(editor).__name__,
        "rank": None if lora is None else lora.rank,
        "alpha": None if lora is None else float(lora.alpha),
    }


def write(checkpoint: dict[str, Any], module: LightningModule, description: dict[str, Any]) -> None:
    """Drop every frozen weight from ``checkpoint`` and add the description. In place."""
    trained = {name for name, p in module.named_parameters() if p.requires_grad}
    checkpoint["state_dict"] = {k: v for k, v in checkpoint["state_dict"].items() if k in trained}
    checkpoint[KEY] = description


def verify(checkpoint: dict[str, Any], module: LightningModule, description: dict[str, Any]) -> None:
    """Raise ValueError if ``checkpoint`` was written by another editor or adapter, or lacks trained weights."""
    found = checkpoint.get(KEY)
    if found != description:
        raise ValueError(f"--ckpt_path: wanted a checkpoint of {description}, got one of {found}")
    if "state_dict" not in checkpoint:
        return  # a sharded checkpoint is read by the strategy, not from this dictionary
    trained = {name for name, p in module.named_parameters() if p.requires_grad}
    missing = sorted(trained - set(checkpoint["state_dict"]))
    if missing:
        raise ValueError(
            f"--ckpt_path: wanted all {len(trained)} trained weights, got {len(trained) - len(missing)}; the first "
            f"missing one is {missing[0]}"
        )
