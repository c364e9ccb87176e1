"""What a round's scores look like, over all ranks. Pure but for the sum it is given."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from hpedit.scorers.pool import Call, Scored
from hpedit.tasks import TASKS

Total = Callable[[Tensor], Tensor]


def score_figures(scored: Scored, reward: Tensor, total: Total) -> dict[str, float]:
    """Return figures of n scored edits and their rewards (n,), the same on every rank but the p95 latencies.

    ``total`` sums a float64 vector over the ranks. Means run over the scores that could be had; a mean of nothing is
    left out. Reward and score also by task. Per scorer: score, failed_share, mass and entropy of the digits,
    cache_hit_share where it has a cache, latency and queue_wait of a call in s.
    """
    sums = _sums(scored, reward)
    totals = total(torch.tensor(list(sums.values()), dtype=torch.float64)).tolist()
    sums = dict(zip(sums, totals, strict=True))
    edits = max(sums["edits"], 1.0)
    figures = {
        "reward/failed_share": 1 - sums["reward/count"] / edits if sums["edits"] else 0.0,
        "reward/unchanged_share": sums["unchanged"] / edits,
    }
    for name in (key.removesuffix("/count") for key in sums if key.endswith("/count")):
        figures |= _moments(name, sums)
    for name, scores in scored.by_scorer.items():
        figures[f"scorer/{name}/failed_share"] = (
            1 - sums[f"scorer/{name}/score/count"] / edits if scores else 0.0
        )
        figures[f"scorer/{name}/latency_p95"] = p95([call.took for call in scored.calls[name]])
    return figures


def p95(seconds: list[float]) -> float:
    """Return the smallest value that at least 95 % do not exceed; 0 of none."""
    return sorted(seconds)[math.ceil(0.95 * len(seconds)) - 1] if seconds else 0.0


def _sums(scored: Scored, reward: Tensor) -> dict[str, float]:
    """Lay out what adds up over ranks, with the same keys in the same order on each."""
    sums = {"edits": float(len(scored.value)), "unchanged": float(scored.unchanged)}
    sums |= _power_sums("reward", reward.tolist())
    sums |= _power_sums("score", scored.value)
    for task in TASKS:
        rows = [i for i, name in enumerate(scored.task) if name == task]
        sums |= _power_sums(f"score/{task}", [scored.value[i] for i in rows])
        sums |= _power_sums(f"reward/{task}", [reward[i].item() for i in rows])
    for name, scores in scored.by_scorer.items():
        calls: list[Call] = scored.calls[name]
        sums |= _power_sums(f"scorer/{name}/score", [score.value for score in scores])
        sums |= _power_sums(f"scorer/{name}/mass", [s.mass for s in scores if s.mass is not None])
        sums |= _power_sums(f"scorer/{name}/entropy", [s.entropy for s in scores if s.entropy is not None])
        known = [float(s.cached) for s in scores if s.cached is not None]
        sums |= _power_sums(f"scorer/{name}/cache_hit_share", known)
        sums |= _power_sums(f"scorer/{name}/latency", [call.took for call in calls])
        sums |= _power_sums(f"scorer/{name}/queue_wait", [call.queued for call in calls])
    return sums


def _power_sums(name: str, values: Iterable[float]) -> dict[str, float]:
    had = [value for value in values if not math.isnan(value)]
    return {
        f"{name}/count": float(len(had)),
        f"{name}/sum": math.fsum(had),
        f"{name}/squares": math.fsum(value * value for value in had),
    }


def _moments(name: str, sums: dict[str, float]) -> dict[str, float]:
    """Return the mean and, for reward and score, the spread; by task under other prefixes, TensorBoard's groups."""
    count = sums[f"{name}/count"]
    if not count:
        return {}
    mean = sums[f"{name}/sum"] / count
    std = math.sqrt(max(0.0, sums[f"{name}/squares"] / count - mean**2))
    kind, _, task = name.partition("/")
    if kind not in ("reward", "score"):
        return {name: mean}
    if not task:
        return {f"{kind}/mean": mean, f"{kind}/std": std}
    by_task = "score" if kind == "score" else "reward_mean"
    return {f"{by_task}/{task}": mean, f"{kind}_std/{task}": std}
