"""Losses that teach a scorer people's ratings. Pure: tensors in, (loss, metrics) out."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from hpedit.scorers.digits import DIGITS

Result = tuple[Tensor, dict[str, Tensor]]


def rating_distribution(values: Sequence[float], top: float = 5.0) -> Tensor:
    """Return several raters' distribution over the six digits, (6,) float32, whose mean is the mean rating.

    A rating between two digits is spread over both, by nearness; the raters' distributions are averaged.

    Args:
        values: at least one rating in [0, top].
        top: the best rating of the scale: 5, or 100 for MOS; it becomes the digit 5.

    Raises ValueError on no rating, or one outside the scale.
    """
    if not values:
        raise ValueError("ratings: expected at least one, got none")
    best, target = len(DIGITS) - 1, torch.zeros(len(DIGITS))
    for value in values:
        if not 0.0 <= value <= top:
            raise ValueError(f"ratings: expected values in [0, {top:g}], got {value}")
        scaled = value * best / top
        lower = min(math.floor(scaled), best - 1)
        target[lower] += lower + 1 - scaled
        target[lower + 1] += scaled - lower
    return target / len(values)


def expected_score(logprobs: Tensor) -> Tensor:
    """Return the expectation over the digits, (n,) in [0, 5], of (n, 6) log-probabilities, normalised first."""
    probabilities = logprobs.softmax(dim=-1)
    return probabilities @ torch.arange(probabilities.shape[-1]).to(probabilities)


def digit_loss(logprobs: Tensor, target: Tensor) -> Result:
    """Return the cross-entropy of the first answer token against people's distribution.

    Args:
        logprobs: (n, 6) log-probabilities of the digits over the whole vocabulary, so that anything but a digit is
            unlearnt too.
        target: (n, 6), rows that sum to 1.

    Metrics: mass (mean probability of a digit), mae (of the expectation).
    """
    loss = -(target * logprobs).sum(dim=-1).mean()
    digits = torch.arange(target.shape[-1]).to(target)
    error = (expected_score(logprobs) - target @ digits).abs().mean()
    return loss, {"mass": logprobs.exp().sum(dim=-1).mean().detach(), "mae": error.detach()}


def preference_loss(score: Tensor, rating: Tensor, group: Sequence[Hashable], min_gap: float) -> Result:
    """Return the Bradley-Terry loss, -log sigmoid(s_better - s_worse), over the pairs inside the groups.

    Args:
        score: (n,) predicted scores; rating: (n,) those of people.
        group: n keys; only rows of equal keys make a pair.
        min_gap: a pair counts where its ratings differ by at least this, above 0.

    Zero without a pair. Metrics: pairs, pair_accuracy (a tie counts half; left out without a pair).
    """
    keys = list(dict.fromkeys(group))
    key = torch.tensor([keys.index(g) for g in group], device=score.device)
    better, worse = torch.where((key[:, None] == key[None]) & (rating[:, None] - rating[None] >= min_gap))
    margin = score[better] - score[worse]
    metrics = {"pairs": torch.tensor(float(len(margin)))}
    if not len(margin):
        return score.sum() * 0, metrics
    right = (margin > 0).float() + 0.5 * (margin == 0).float()
    return -logsigmoid(margin).mean(), metrics | {"pair_accuracy": right.mean()}
