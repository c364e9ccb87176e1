"""What a judge can at best be asked for: how well one person agrees with the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hpedit.calibration.alpha import alpha, ratings_matrix, weighted_alpha
from hpedit.calibration.bootstrap import Estimate, estimate
from hpedit.calibration.metrics import Floats, Rows
from hpedit.calibration.ratings import RatedEdit
from hpedit.calibration.weighted import edit_figures

CEILING_FIGURES = ("plcc", "srcc", "qwk", "mae")
RATIOS = ("plcc", "srcc", "qwk")
# A correlation over fewer edits than this says nothing about a rater.
_LEAST_EDITS = 5


@dataclass(frozen=True)
class Ceiling:
    """People among themselves, and the judge in a rater's place: both against the mean of the other raters.

    The judge is held against the same means as the rater that it replaces, so that the two compare; the means of all
    raters, which the report's own figures use, are less noisy and would favour it.

    Attributes:
        raters: how many rated at least five edits that somebody else rated too.
        edits: how many edits have two ratings or more.
        rater, judge: mean over raters, weighted by their edits, of plcc, srcc, qwk and mae.
        ratio: judge over rater; above 1 the judge agrees with people better than they do with each other.
        alpha_interval, alpha_ordinal: Krippendorff's alpha of the raters.
    """

    raters: int
    edits: int
    rater: dict[str, Estimate]
    judge: dict[str, Estimate]
    ratio: dict[str, Estimate]
    alpha_interval: Estimate
    alpha_ordinal: Estimate


def ceiling(edits: Sequence[RatedEdit], predicted: Floats, rows: Rows, weights: Floats) -> Ceiling | None:
    """Return the ceiling of n edits, or None where no rater shares five edits with another.

    Args:
        predicted: (n,) the judge's scores, finite.
        rows: (n,) the case of each edit, as a column of ``weights``.
        weights: (R, C) how often each case counts in each resample.
    """
    matrix = ratings_matrix([e.raters for e in edits], [e.ratings for e in edits])
    shared = np.isfinite(matrix).sum(axis=0) > 1
    left_out = [np.flatnonzero(np.isfinite(row) & shared) for row in matrix]
    raters = [r for r, rated in enumerate(left_out) if len(rated) >= _LEAST_EDITS]
    if not raters:
        return None
    share = np.array([len(left_out[r]) for r in raters], np.float64)
    one, judge = _Means(share), _Means(share)
    by_edit = weights[:, rows]
    # The first weighting is all edits once: the figures themselves.
    with_all = np.vstack([np.ones(len(edits)), by_edit])
    for r in raters:
        rated = left_out[r]
        others = (np.nansum(matrix, axis=0) - matrix[r])[rated] / (np.isfinite(matrix).sum(axis=0)[rated] - 1)
        one.add(edit_figures(matrix[r][rated], others, with_all[:, rated]))
        judge.add(edit_figures(predicted[rated], others, with_all[:, rated]))
    return Ceiling(
        raters=len(raters),
        edits=int(shared.sum()),
        rater=one.estimates(),
        judge=judge.estimates(),
        ratio=_ratios(judge, one),
        alpha_interval=estimate(alpha(matrix, "interval"), weighted_alpha(matrix, "interval", by_edit)),
        alpha_ordinal=estimate(alpha(matrix, "ordinal"), weighted_alpha(matrix, "ordinal", by_edit)),
    )


class _Means:
    """Figures of several raters under 1 + R weightings, averaged with the weights ``share``."""

    def __init__(self, share: Floats) -> None:
        self._share = share
        self._found: list[dict[str, Floats]] = []

    def add(self, found: dict[str, Floats]) -> None:
        self._found.append(found)

    def mean(self, name: str) -> Floats:
        """Average over the raters that define the figure; (1 + R,)."""
        by_rater = np.array([found[name] for found in self._found])
        weight = np.where(np.isfinite(by_rater), self._share[:, None], 0.0)
        total = weight.sum(axis=0)
        return (weight * np.nan_to_num(by_rater)).sum(axis=0) / np.where(total > 0, total, np.nan)

    def estimates(self) -> dict[str, Estimate]:
        return {name: _estimate(self.mean(name)) for name in CEILING_FIGURES}


def _ratios(judge: _Means, one: _Means) -> dict[str, Estimate]:
    found = {}
    for name in RATIOS:
        best = one.mean(name)
        # People who do not agree at all set no ceiling to divide by.
        found[name] = _estimate(judge.mean(name) / np.where(best > 0, best, np.nan))
    return found


def _estimate(figure: Floats) -> Estimate:
    return estimate(float(figure[0]), figure[1:])
