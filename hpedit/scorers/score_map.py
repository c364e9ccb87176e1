"""From the score a judge expresses to the one people would give: a fitted map, stored with its prompt. Pure."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

LOWEST, HIGHEST = 0.0, 5.0


@dataclass(frozen=True)
class AffineMap:
    """slope * score + intercept, clamped to [0, 5]. The slope is positive: a map never turns an order round."""

    slope: float
    intercept: float
    kind: ClassVar[str] = "affine"

    def __post_init__(self) -> None:
        if not self.slope > 0:
            raise ValueError(f"map.slope: expected a number above 0, got {self.slope}")

    def __call__(self, score: float) -> float:
        return _clamped(self.slope * score + self.intercept)


@dataclass(frozen=True)
class IsotonicMap:
    """Straight lines between knots (score, rating), level beyond the outermost, clamped to [0, 5].

    Attributes:
        scores: at least two, strictly rising.
        ratings: as many, never falling.
    """

    scores: tuple[float, ...]
    ratings: tuple[float, ...]
    kind: ClassVar[str] = "isotonic"

    def __post_init__(self) -> None:
        if len(self.scores) != len(self.ratings) or len(self.scores) < 2:
            raise ValueError(
                "map: expected as many scores as ratings, at least two of each, "
                f"got {len(self.scores)} and {len(self.ratings)}"
            )
        if not all(a < b for a, b in pairwise(self.scores)):
            raise ValueError(f"map.scores: expected rising numbers, got {list(self.scores)}")
        if not all(a <= b for a, b in pairwise(self.ratings)):
            raise ValueError(f"map.ratings: expected numbers that never fall, got {list(self.ratings)}")

    def __call__(self, score: float) -> float:
        right = bisect_right(self.scores, score)
        if right == 0:
            return _clamped(self.ratings[0])
        if right == len(self.scores):
            return _clamped(self.ratings[-1])
        (x0, x1), (y0, y1) = self.scores[right - 1 : right + 1], self.ratings[right - 1 : right + 1]
        return _clamped(y0 + (y1 - y0) * (score - x0) / (x1 - x0))


ScoreMap = AffineMap | IsotonicMap


def _clamped(score: float) -> float:
    return min(HIGHEST, max(LOWEST, score))
