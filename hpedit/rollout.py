"""Rollouts: sampling trajectories, and the hooks through which scores come back."""

from __future__ import annotations

import lightning.pytorch as pl

from hpedit.types import EditedBatch, Rollout


class RolloutCallback(pl.Callback):
    """Lightning callback with three more hooks, called on every rank during a rollout round."""

    def on_rollout_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, num_samples: int) -> None:
        """Before the first sample of a round; this rank will sample ``num_samples`` edits."""

    def on_rollout_chunk(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, chunk: EditedBatch, start: int
    ) -> None:
        """After a chunk was sampled; its images are samples start, start + 1, ... of the Rollout. Must not block."""

    def on_rollout_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, rollout: Rollout) -> None:
        """After the last sample: wait for what is outstanding and write ``rollout.score`` and ``rollout.reward``."""
