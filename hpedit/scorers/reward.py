"""From HP-Score to reward."""

from __future__ import annotations

import torch
from torch import Tensor


def hp_reward(score: Tensor, alpha: float = 2.0, beta: float = 5.0) -> Tensor:
    """Map HP-Scores in [0, 5] to rewards in (0, 1): r = 1 / (1 + exp(-(alpha s - beta))), paper eq. 7.

    Any shape. NaN, a score that could not be had, stays NaN.
    """
    return torch.sigmoid(alpha * score - beta)
