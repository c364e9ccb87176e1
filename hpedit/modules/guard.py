"""Updates that must not happen: a NaN or infinite gradient, or none at all."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor


def gradient_norm(parameters: Iterable[nn.Parameter]) -> float:
    """Return the Euclidean norm of all gradients, over all shards; 0 where there is none."""
    grads = [p.grad for p in parameters if p.grad is not None]
    if not grads:
        return 0.0
    norm: Tensor = torch.nn.utils.get_total_norm(grads)
    return float(norm.full_tensor() if isinstance(norm, DTensor) else norm)


class UpdateGuard:
    """Skips an update whose gradient is not finite, counts it, and stops the run after a few in a row.

    Skipping means setting the gradients to None, which an optimizer passes by: neither weights nor moments move.
    A gradient of exactly zero is passed by as well, so that momentum alone moves nothing when a round had nothing
    to teach; that is not counted as a fault.
    """

    def __init__(self, max_in_a_row: int) -> None:
        if max_in_a_row < 1:
            raise ValueError(f"max_skipped_updates: wanted at least 1, got {max_in_a_row}")
        self.max_in_a_row = max_in_a_row
        self.in_a_row = 0
        self.skipped = 0

    def check(self, parameters: Iterable[nn.Parameter]) -> float:
        """Look at the accumulated gradients before the optimizer step; return their norm.

        Raises RuntimeError when ``max_in_a_row`` updates in a row had to be skipped.
        """
        trained = list(parameters)
        norm = gradient_norm(trained)
        if math.isfinite(norm) and norm > 0:
            self.in_a_row = 0
            return norm
        for p in trained:
            p.grad = None
        if norm == 0:
            return norm
        self.skipped += 1
        self.in_a_row += 1
        if self.in_a_row >= self.max_in_a_row:
            raise RuntimeError(
                f"{self.in_a_row} updates in a row had a gradient norm of {norm} and were skipped. Look at the "
                "learning rate, the precision (bf16 rather than fp16), the KL weight and the last rewards; the "
                "weights are those of the last good update."
            )
        return norm

    def before_update(
        self, parameters: Iterable[nn.Parameter], optimizer: torch.optim.Optimizer
    ) -> dict[str, float]:
        """``check`` the gradients; return what a module logs of every update."""
        return {
            "train/grad_norm": self.check(parameters),
            "train/lr": optimizer.param_groups[0]["lr"],
            "train/skipped_updates": float(self.skipped),
        }

    def state_dict(self) -> dict[str, int]:
        return {"in_a_row": self.in_a_row, "skipped": self.skipped}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        self.in_a_row, self.skipped = state_dict["in_a_row"], state_dict["skipped"]
