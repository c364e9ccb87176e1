"""A callback that kills its own process, once, at a chosen point of a run."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl

from hpedit import checkpoint_io
from hpedit.rollout import RolloutCallback

Point = Literal["sampling", "update", "validation", "before saving", "half written", "written"]


class KillAt(RolloutCallback):
    """Sends SIGKILL to this process.

    Args:
        point: where in the round.
        round: which round.
        marker: file that says it was done already.
    """

    def __init__(self, point: Point, round: int, marker: str) -> None:
        self.point, self.round, self.marker = point, round, Path(marker)

    def _at(self, point: Point, trainer: pl.Trainer) -> bool:
        return self.point == point and trainer.current_epoch == self.round and not self.marker.exists()

    def _die(self) -> None:
        self.marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)

    def on_rollout_chunk(self, trainer: pl.Trainer, *_: Any) -> None:
        if self._at("sampling", trainer):
            self._die()

    def on_before_zero_grad(self, trainer: pl.Trainer, *_: Any) -> None:
        # After the first update of the round.
        if trainer.global_step % 2 and self._at("update", trainer):
            self._die()

    def on_validation_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if self._at("validation", trainer):
            self._die()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Checkpoints are written after this.
        if self._at("before saving", trainer):
            self._die()
        for point in ("half written", "written"):
            if self._at(point, trainer):
                self._die_in_fsync(half=point == "half written")

    def _die_in_fsync(self, half: bool) -> None:
        def fsync(handle: int) -> None:
            if half:
                os.ftruncate(handle, os.fstat(handle).st_size // 2)
            self._die()

        checkpoint_io.os.fsync = fsync
