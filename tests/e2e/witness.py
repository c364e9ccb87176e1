"""Parts of a run that tell what was done with them, or spoil it."""

from __future__ import annotations

import resource
import signal
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch

from hpedit.editors.qwen_image_edit_plus import QwenImageEditPlusEditor


class WitnessEditor(QwenImageEditPlusEditor):
    """Leaves the file ``loaded`` beside its folder when its weights are read."""

    def load(self) -> None:
        Path(self.model).with_name("loaded").touch()
        super().load()


class SpoilGradients(pl.Callback):
    """Makes a gradient NaN in chosen micro-batches.

    Args:
        first: first spoilt micro-batch, counted over the run.
        last: last one.
    """

    def __init__(self, first: int = 0, last: int = 10**9) -> None:
        self.first, self.last, self.seen = first, last, -1

    def on_after_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.seen += 1
        if self.first <= self.seen <= self.last:
            gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
            gradients[0].view(-1)[0] = torch.nan


class FailingDisk(pl.Callback):
    """Lets files end after so many bytes, as on a full disk, while checkpoints of chosen rounds are written.

    Args:
        first: first such round.
        rounds: how many there are.
        size: bytes that a file can have.
    """

    def __init__(self, first: int, rounds: int, size: int = 100_000) -> None:
        self.rounds, self.size = range(first, first + rounds), size

    def on_train_epoch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        full = trainer.current_epoch in self.rounds
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size if full else hard, hard))


class KeptPredictions(pl.Callback):
    """Says how many batches of predictions Lightning holds when it has made the last."""

    def on_predict_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        print(f"batches of predictions in memory: {sum(map(len, trainer.predict_loop._predictions))}")
