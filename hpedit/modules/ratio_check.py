"""The invariant of on-policy training: before a round's first update every ratio is 1."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Measured with benchmarks/ratio.py (docs/exactness.md); an order of magnitude above the largest seen.
TOLERANCE = {torch.float32: 1e-4, torch.float16: 1e-3, torch.bfloat16: 5e-3}

_CAUSES = """Likely causes, most frequent first:
- the precision of the rollout and of training differ (autocast on one side only, another attention backend);
- a layer behaves differently in training (dropout, a module put into train() mode by a callback);
- weights were changed between rollout and training (EMA weights left in place, an adapter left switched off);
- the conditioning differs (a text mask or a reference picture lost on the way to the micro-batch);
- rounding: chunk and micro-batch sizes choose other kernels. Then set --model.ratio_tolerance, well below the clip."""


def default_tolerance(precision: str, transformer: nn.Module) -> float:
    """Return the tolerance for the coarsest number format that the forward pass uses."""
    if precision.startswith("bf16"):
        return TOLERANCE[torch.bfloat16]
    if precision.startswith("16"):
        return TOLERANCE[torch.float16]
    return max(TOLERANCE[p.dtype] for p in transformer.parameters() if p.dtype in TOLERANCE)


def ratio_error(log_ratio: Tensor, weight: Tensor) -> Tensor:
    """Return the largest |ratio - 1| of the (M,) rows with weight > 0; 0 where there is none, NaN where one is."""
    error = (log_ratio.detach()[weight > 0].exp() - 1).abs()
    return error.max() if len(error) else error.new_zeros(())


def check_ratio(error: float, tolerance: float) -> None:
    """Raise RuntimeError unless ``error``, from ``ratio_error``, is within ``tolerance``."""
    if not error <= tolerance:
        raise RuntimeError(
            f"ratio check: before the first update of a round every ratio must be 1 within {tolerance:g} "
            f"(--model.ratio_tolerance), got |ratio - 1| up to {error:.3g}. {_CAUSES}"
        )
