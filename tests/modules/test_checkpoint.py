from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from hpedit.lora import LoRA
from hpedit.modules.checkpoint import read, verify_file, write
from hpedit.modules.guard import UpdateGuard


class Editor:
    pass


class Module(nn.Module):
    """Stands in for a training module: a frozen layer, and an adapter of the given rank."""

    def __init__(self, rank: int | None = 4, layers: tuple[str, ...] = ("a", "b"), width: int = 8) -> None:
        super().__init__()
        self.editor = Editor()
        self.lora = None if rank is None else LoRA(rank=rank, alpha=8)
        self.guard = UpdateGuard(5)
        self.frozen = nn.Linear(width, width).requires_grad_(False)
        self.adapter = nn.ModuleDict({name: nn.Linear(width, rank or width, bias=False) for name in layers})


def saved(module: Module) -> dict[str, Any]:
    checkpoint: dict[str, Any] = {"state_dict": module.state_dict()}
    write(checkpoint, module)
    return checkpoint


def test_frozen_weights_are_left_out():
    assert set(saved(Module())["state_dict"]) == {"adapter.a.weight", "adapter.b.weight"}


def test_a_checkpoint_fits_the_module_that_wrote_it_and_brings_its_skipped_updates():
    module, other = Module(), Module()
    module.guard.skipped, module.guard.in_a_row = 7, 2
    read(saved(module), other)
    assert (other.guard.skipped, other.guard.in_a_row) == (7, 2)


def test_an_older_checkpoint_without_skipped_updates_is_taken_and_they_are_counted_from_0(tmp_path: Path):
    older = saved(Module())
    del older["hpedit"]["guard"]
    torch.save(older, tmp_path / "a.ckpt")
    verify_file(str(tmp_path / "a.ckpt"), Module())
    module = Module()
    with pytest.warns(match="--ckpt_path: an older checkpoint, without the count of skipped updates"):
        read(older, module)
    assert (module.guard.skipped, module.guard.in_a_row) == (0, 0)


@pytest.mark.parametrize(
    ("written_by", "message"),
    [
        (
            Module(rank=2),
            r"a LoRA of rank 4 and alpha 8 \(--model\.editor, --model\.lora\), got one of .* rank 2",
        ),
        (Module(rank=None), r"got one of Editor with all weights trained"),
        (Module(layers=("a",)), r"wanted the 2 trained weights .* got 1; the run has adapter\.b\.weight"),
        (
            Module(layers=("a", "b", "c")),
            r"got 3; the checkpoint has adapter\.c\.weight, which the run lacks",
        ),
        (Module(width=16), r"wanted adapter\.a\.weight of shape \(4, 8\), got \(4, 16\)"),
    ],
    ids=["rank", "no adapter", "fewer layers", "more layers", "size"],
)
def test_a_checkpoint_of_another_model_is_refused(written_by: Module, message: str):
    with pytest.raises(ValueError, match=message):
        read(saved(written_by), Module())


def test_a_checkpoint_of_another_program_is_refused():
    with pytest.raises(ValueError, match="got one of another program"):
        read({"state_dict": Module().state_dict()}, Module())


def test_a_sharded_checkpoint_is_judged_by_its_description():
    """Its weights are the strategy's to read."""
    checkpoint = saved(Module())
    del checkpoint["state_dict"]
    read(checkpoint, Module())
    with pytest.raises(ValueError, match="rank 2"):
        read(checkpoint, Module(rank=2))


def test_a_file_is_judged_before_any_model_is_there(tmp_path: Path):
    path = tmp_path / "a.ckpt"
    torch.save(saved(Module()), path)
    verify_file(str(path), Module())
    with pytest.raises(ValueError, match=r"--ckpt_path .*a\.ckpt: wanted .* rank 2"):
        verify_file(str(path), Module(rank=2))


def test_so_is_the_folder_of_a_sharded_one(tmp_path: Path):
    checkpoint = saved(Module())
    del checkpoint["state_dict"]
    torch.save(checkpoint, tmp_path / "meta.pt")
    verify_file(str(tmp_path), Module())
    (tmp_path / "meta.pt").unlink()
    with pytest.raises(ValueError, match="not a checkpoint of plain tensors"):
        verify_file(str(tmp_path), Module())
