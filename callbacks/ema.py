"""An exponential moving average of the trained weights, for validation and export; training never sees it."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor


class TrainedWeightsEMA(pl.Callback):
    """Averages the trained weights only (a LoRA is small, its frozen base is not) and shows the average to evaluation.

    Args:
        decay: Largest decay; update k uses min(decay, (1 + k) / (10 + k)), so that early rounds are forgotten.
        every_n_updates: Optimizer updates between two steps of the average.
        evaluate: Validate, test, predict and export with the average instead of the last weights.
    """

    def __init__(self, decay: float = 0.9, every_n_updates: int = 1, evaluate: bool = True) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay: wanted in [0, 1), got {decay}")
        self.decay = decay
        self.every_n_updates = every_n_updates
        self.evaluate = evaluate
        self.average: dict[str, Tensor] = {}
        self.num_steps = 0
        self.seen_update = 0
        self.kept: dict[str, Tensor] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Not on_fit_start: there, weights and counters of a checkpoint are not restored yet.
        trained = _trained(pl_module)
        if not self.average:
            self.average = {name: p.detach().clone() for name, p in trained.items()}
        else:  # restored: whole tensors on the CPU
            self.average = {name: _like(self.average[name], p) for name, p in trained.items()}
        self.seen_update = trainer.global_step

    @torch.no_grad()
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == self.seen_update or trainer.global_step % self.every_n_updates:
            return
        self.seen_update = trainer.global_step
        decay = min(self.decay, (1 + self.num_steps) / (10 + self.num_steps))
        self.num_steps += 1
        for name, p in _trained(pl_module).items():
            self.average[name].lerp_(p.detach(), 1 - decay)

    @torch.no_grad()
    def swap_in(self, pl_module: pl.LightningModule) -> None:
        """Put the average in place of the weights, which are kept for ``swap_out``."""
        if self.evaluate and self.average and not self.kept:
            for name, p in _trained(pl_module).items():
                self.kept[name] = p.detach().clone()
                p.copy_(_like(self.average[name], p))

    @torch.no_grad()
    def swap_out(self, pl_module: pl.LightningModule) -> None:
        """Put the trained weights back."""
        for name, p in _trained(pl_module).items():
            if name in self.kept:
                p.copy_(self.kept.pop(name))

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.swap_in(pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.swap_out(pl_module)

    on_test_start = on_predict_start = on_validation_start
    on_test_end = on_predict_end = on_validation_end

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        self.swap_out(pl_module)

    def state_dict(self) -> dict[str, Any]:
        average = {n: a.full_tensor() if isinstance(a, DTensor) else a for n, a in self.average.items()}
        return {"average": {n: a.cpu() for n, a in average.items()}, "num_steps": self.num_steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.average = state_dict["average"]
        self.num_steps = state_dict["num_steps"]


def _trained(module: pl.LightningModule) -> dict[str, torch.nn.Parameter]:
    return {name: p for name, p in module.named_parameters() if p.requires_grad}


def _like(whole: Tensor, p: torch.nn.Parameter) -> Tensor:
    """Return ``whole`` placed, and sharded, as the parameter is."""
    if isinstance(p, DTensor) and not isinstance(whole, DTensor):
        return distribute_tensor(whole.to(p.device), p.device_mesh, p.placements)
    return whole.to(p.device)
