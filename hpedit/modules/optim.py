"""Optimizer and schedule of the trained weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor
from torch.optim import AdamW


def adamw(params: Iterable[Tensor]) -> AdamW:
    """The paper's optimizer: AdamW at 3e-4 (section 5.1); the weight decay is the peers'."""
    return AdamW(params, lr=3e-4, weight_decay=1e-4)


def optimizers(
    module: LightningModule, make_optimizer: OptimizerCallable, make_scheduler: LRSchedulerCallable | None
) -> Any:
    """Return what ``configure_optimizers`` returns: one optimizer over the trained weights, a schedule per update."""
    optimizer = make_optimizer([p for p in module.parameters() if p.requires_grad])
    if make_scheduler is None:
        return optimizer
    return {
        "optimizer": optimizer,
        "lr_scheduler": {"scheduler": make_scheduler(optimizer), "interval": "step"},
    }
