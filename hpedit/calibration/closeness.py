"""How close scores come to what people said, edit by edit, and the rule that chooses among lists of checks. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hpedit.calibration.ratings import BEST, RatedEdit
from hpedit.scorers.base import Score

Checks = tuple[str, ...]
# A list of checks under which more edits than this fail is no candidate: it may fail on what it would get wrong.
MOST_MISSING = 0.2


@dataclass(frozen=True)
class Closeness:
    """Mean of 1 - |s - h| / 5 over the edits that could be scored; additive, unlike a correlation.

    Attributes:
        mean: in [0, 1]; NaN where no edit could be scored.
        se: standard error of the mean, clustered by case; infinite with fewer than two cases.
        scored: edits that could be scored.
        missing: edits that could not.
        failure: why the first of those could not, in the scorer's words.
    """

    mean: float
    se: float
    scored: int
    missing: int
    failure: str | None = None

    @property
    def sound(self) -> bool:
        """Whether enough edits could be scored to go by the mean."""
        return self.scored > 0 and self.missing <= MOST_MISSING * (self.scored + self.missing)


def item_closeness(score: float, human: float) -> float:
    """Return 1 - |score - human| / 5, NaN where the score is missing."""
    return 1.0 - abs(score - human) / BEST


def closeness(edits: Sequence[RatedEdit], scores: Sequence[Score]) -> Closeness:
    """Return how close ``scores`` come to the people's means; a missing score is left out and counted."""
    items = [item_closeness(s.value, e.mean) for e, s in zip(edits, scores, strict=True)]
    mean, se = clustered_mean(items, [e.case.case_id for e in edits])
    scored = sum(not math.isnan(item) for item in items)
    failure = next((score.failure for score in scores if math.isnan(score.value)), None)
    return Closeness(mean, se, scored, len(items) - scored, failure)


def clustered_mean(values: Sequence[float], clusters: Sequence[str]) -> tuple[float, float]:
    """Return the mean of the values that are not NaN and its standard error with whole clusters as the units.

    The error is that of a ratio estimator: sqrt(C / (C - 1) sum_c (sum_{i in c} (v_i - mean))^2) / n.
    """
    had = [(v, c) for v, c in zip(values, clusters, strict=True) if not math.isnan(v)]
    if not had:
        return math.nan, math.inf
    mean = math.fsum(v for v, _ in had) / len(had)
    sums: dict[str, float] = defaultdict(float)
    for value, cluster in had:
        sums[cluster] += value - mean
    if len(sums) < 2:
        return mean, math.inf
    spread = math.fsum(s * s for s in sums.values()) * len(sums) / (len(sums) - 1)
    return mean, math.sqrt(spread) / len(had)


def shortest_near_best(candidates: Mapping[Checks, Closeness]) -> Checks:
    """Return the shortest list of checks within one standard error of the best one.

    Shorter is fewer checks, then fewer letters. A candidate under which too many edits failed is passed over.
    Raises ValueError if all are.
    """
    sound = {checks: close for checks, close in candidates.items() if close.sound}
    if not sound:
        worst = max(candidates.values(), key=lambda close: close.missing)
        raise ValueError(
            f"scorer: {worst.missing} of {worst.scored + worst.missing} edits could not be scored, more than "
            f"{MOST_MISSING:.0%}: {worst.failure}"
        )
    best = max(sound.values(), key=lambda close: close.mean)
    near = [checks for checks, close in sound.items() if close.mean >= best.mean - best.se]
    return min(near, key=lambda checks: (len(checks), sum(map(len, checks))))
