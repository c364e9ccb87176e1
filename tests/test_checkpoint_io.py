import errno
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from hpedit.checkpoint_io import DurableCheckpointIO


def state(seed: int) -> dict[str, Any]:
    return {"weights": torch.randn(300, 300, generator=torch.Generator().manual_seed(seed))}


@contextmanager
def full_disk(after: int = 100_000) -> Iterator[None]:
    """Let every file of this process end after so many bytes: a write fails half-way, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (after, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def load(path: Path) -> torch.Tensor:
    return torch.load(path, weights_only=True)["weights"]


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_what_was_saved_is_read_back(tmp_path: Path):
    path = tmp_path / "new" / "a.ckpt"
    DurableCheckpointIO().save_checkpoint(state(0), path)
    assert torch.equal(load(path), state(0)["weights"])
    assert names(path.parent) == ["a.ckpt"]


def test_a_full_disk_is_survived_and_the_checkpoint_before_stays(tmp_path: Path):
    io, old, new = DurableCheckpointIO(), tmp_path / "old.ckpt", tmp_path / "new.ckpt"
    io.save_checkpoint(state(0), old)
    with full_disk(), pytest.warns(UserWarning, match=f"{new} could not be saved: File too large"):
        io.save_checkpoint(state(1), new)
    io.remove_checkpoint(old)  # as ModelCheckpoint does after every save
    assert names(tmp_path) == ["old.ckpt"]
    assert torch.equal(load(old), state(0)["weights"])


def test_the_checkpoint_before_goes_once_there_is_room_again(tmp_path: Path):
    io, old, new = DurableCheckpointIO(), tmp_path / "old.ckpt", tmp_path / "new.ckpt"
    io.save_checkpoint(state(0), old)
    with full_disk(), pytest.warns(UserWarning, match="could not be saved"):
        io.save_checkpoint(state(1), tmp_path / "lost.ckpt")
    io.remove_checkpoint(old)
    io.save_checkpoint(state(2), new)
    io.remove_checkpoint(tmp_path / "lost.ckpt")
    assert names(tmp_path) == ["new.ckpt"]


@pytest.mark.filterwarnings("ignore:.*could not be saved")
def test_a_disk_that_stays_full_stops_the_run(tmp_path: Path):
    io = DurableCheckpointIO(max_failed=3)
    io.save_checkpoint(state(0), tmp_path / "old.ckpt")
    with full_disk():
        for number in (1, 2):
            io.save_checkpoint(state(number), tmp_path / f"{number}.ckpt")
        with pytest.raises(
            RuntimeError, match=r"3\.ckpt could not be saved.*failure 3 in a row.*--ckpt_path last"
        ):
            io.save_checkpoint(state(3), tmp_path / "3.ckpt")
    assert names(tmp_path) == ["old.ckpt"]


@pytest.mark.filterwarnings("ignore:.*could not be saved")
def test_failures_count_in_a_row_only(tmp_path: Path):
    io = DurableCheckpointIO(max_failed=2)
    for number in range(3):
        with full_disk():
            io.save_checkpoint(state(number), tmp_path / "a.ckpt")
        io.save_checkpoint(state(number), tmp_path / "b.ckpt")
    assert names(tmp_path) == ["b.ckpt"]


def test_an_overwritten_checkpoint_is_whole_at_every_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    io, path = DurableCheckpointIO(), tmp_path / "a.ckpt"
    io.save_checkpoint(state(0), path)

    def fail(handle: int) -> None:
        assert torch.equal(load(path), state(0)["weights"])
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.warns(UserWarning, match="Input/output error"):
        io.save_checkpoint(state(1), path)
    assert torch.equal(load(path), state(0)["weights"])


def test_a_state_that_cannot_be_saved_is_no_matter_of_the_disk(tmp_path: Path):
    with pytest.raises(Exception, match="pickle"):
        DurableCheckpointIO().save_checkpoint({"f": lambda: None}, tmp_path / "a.ckpt")
    assert names(tmp_path) == []
