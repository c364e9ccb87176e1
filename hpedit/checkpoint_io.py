"""Checkpoint files that are there whole or not at all, and a run that survives a full disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_warn


class DurableCheckpointIO(TorchCheckpointIO):
    """Writes beside the final name, syncs and renames: a kill at any moment leaves whole checkpoints only.

    A save that fails is reported and counted, and the run goes on; the older checkpoint that the failed one should
    have replaced is kept until a save succeeds. Sharded checkpoints are written by their strategy, not by this.

    Args:
        max_failed: Failed saves in a row after which the run stops.
    """

    def __init__(self, max_failed: int = 3) -> None:
        if max_failed < 1:
            raise ValueError(f"max_failed: wanted at least 1, got {max_failed}")
        self.max_failed = max_failed
        self.failed_in_a_row = 0
        self.outdated: list[Any] = []

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Save ``checkpoint``. Raises RuntimeError when ``max_failed`` saves in a row did not work."""
        if "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        try:
            write_whole(checkpoint, Path(path))
        except OSError as error:
            self._account(path, error)
            return
        self.failed_in_a_row = 0
        for old in self.outdated:
            super().remove_checkpoint(old)
        self.outdated.clear()

    def remove_checkpoint(self, path: Any) -> None:
        """Remove a checkpoint, unless the one that replaces it could not be saved."""
        if self.failed_in_a_row:
            self.outdated.append(path)
        else:
            super().remove_checkpoint(path)

    def _account(self, path: Any, error: OSError) -> None:
        self.failed_in_a_row += 1
        report = f"the checkpoint {path} could not be saved: {error.strerror or error}"
        if self.failed_in_a_row >= self.max_failed:
            raise RuntimeError(
                f"{report}. That was failure {self.failed_in_a_row} in a row, so the run stops; the last whole "
                "checkpoint is there, and --ckpt_path last goes on from it"
            ) from error
        rank_zero_warn(
            f"{report}. The run goes on with the checkpoint before it; it stops after {self.max_failed} failures in "
            f"a row, this is number {self.failed_in_a_row}"
        )


def write_whole(checkpoint: dict[str, Any], path: Path) -> None:
    """Write ``checkpoint`` to ``path`` in one step, as far as a reader can see. Raises OSError, and leaves nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except RuntimeError as error:
        raise _disk_fault(error) or error from None
    finally:
        partial.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _disk_fault(error: BaseException | None) -> OSError | None:
    """Return the OSError behind ``error``: torch.save reports a full disk as a RuntimeError about file positions."""
    while error is not None and not isinstance(error, OSError):
        error = error.__context__
    return error


def _sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` last through a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
