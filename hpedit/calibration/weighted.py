"""The figures of ``metrics``, for many weightings of the cases at once: what a bootstrap clustered by case needs.

A resample draws whole cases; that a case was drawn m times is a weight of m on each of its edits. All figures are
sums over edits, pairs or ranks, so R resamples are a few matrix products with the weights, (R, C) for C cases.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hpedit.calibration.metrics import CLASSES, Floats, Rows, case_correlations, ordered_pairs, rounded

# Kendall's pairs are n * n; beyond this many edits its interval costs more than it tells.
MOST_FOR_KENDALL = 4096
_BLOCK = 512


def weighted_figures(x: Floats, y: Floats, rows: Rows, weights: Floats) -> dict[str, Floats]:
    """Return metrics.FIGURES by name, each (R,).

    Args:
        x, y: (n,) predicted and human scores, finite.
        rows: (n,) the case of each edit, as a column of ``weights``.
        weights: (R, C) how often each case counts.

    NaN where a resample does not define a figure; krcc is NaN throughout above MOST_FOR_KENDALL edits.
    """
    w = weights[:, rows]
    return {
        **edit_figures(x, y, w),
        "krcc": kendall(x, y, w) if len(x) <= MOST_FOR_KENDALL else np.full(len(w), np.nan),
        **_by_case(x, y, rows, weights),
    }


def edit_figures(x: Floats, y: Floats, w: Floats) -> dict[str, Floats]:
    """Return the figures that are sums over single edits, each (R,), for weights (R, n) of the edits."""
    apart = np.abs(rounded(x) - rounded(y))
    return {
        "plcc": pearson(x, y, w),
        "srcc": pearson(mean_ranks(x, w), mean_ranks(y, w), w),
        "qwk": kappa(x, y, w),
        "mae": weighted_mean(np.abs(x - y), w),
        "bias": weighted_mean(x - y, w),
        "exact": weighted_mean(apart == 0, w),
        "within_1": weighted_mean(apart <= 1, w),
    }


def pearson(x: Floats, y: Floats, w: Floats) -> Floats:
    """Return the weighted correlation (R,) of x and y, (n,) or (R, n)."""
    total = w.sum(axis=1)
    a = x - (np.sum(w * x, axis=1) / _some(total))[:, None]
    b = y - (np.sum(w * y, axis=1) / _some(total))[:, None]
    spread = (w * a * a).sum(axis=1) * (w * b * b).sum(axis=1)
    return (w * a * b).sum(axis=1) / np.sqrt(np.where(spread > 1e-18, spread, np.nan))


def mean_ranks(x: Floats, w: Floats) -> Floats:
    """Return the ranks (R, n) that x would have were each value there w times; equal ones share their mean."""
    place = np.unique(x, return_inverse=True)[1]
    order = np.argsort(place, kind="stable")
    first = np.flatnonzero(np.diff(place[order], prepend=-1))
    count = np.add.reduceat(w[:, order], first, axis=1)
    return (np.cumsum(count, axis=1) - count / 2 + 0.5)[:, place]


def kendall(x: Floats, y: Floats, w: Floats) -> Floats:
    """Return tau-b (R,); copies of one edit are ties in both, which tau-b leaves out."""
    w32 = w.astype(np.float32)  # counts are small integers, exact here and twice as fast
    score, untied_x, untied_y = np.zeros((3, len(w)))
    for start in range(0, len(x), _BLOCK):
        part = slice(start, start + _BLOCK)
        sx = np.sign(x[:, None] - x[part]).astype(np.float32)
        sy = np.sign(y[:, None] - y[part]).astype(np.float32)
        score += ((w32 @ (sx * sy)) * w[:, part]).sum(axis=1)
        untied_x += ((w32 @ np.abs(sx)) * w[:, part]).sum(axis=1)
        untied_y += ((w32 @ np.abs(sy)) * w[:, part]).sum(axis=1)
    pairs = untied_x * untied_y
    return score / np.sqrt(np.where(pairs > 0, pairs, np.nan))


def kappa(x: Floats, y: Floats, w: Floats) -> Floats:
    """Return the quadratic-weighted kappa (R,) of the rounded scores."""
    cell = rounded(x) * CLASSES + rounded(y)
    table = (w @ np.eye(CLASSES**2)[cell]).reshape(-1, CLASSES, CLASSES)
    step = np.arange(CLASSES)
    cost = (step[:, None] - step) ** 2
    seen = (cost * table).sum(axis=(1, 2)) * table.sum(axis=(1, 2))
    by_chance = np.einsum("rij,rkl,il->r", table, table, cost.astype(np.float64))
    return 1 - seen / np.where(by_chance > 0, by_chance, np.nan)


def _by_case(x: Floats, y: Floats, rows: Rows, weights: Floats) -> dict[str, Floats]:
    """Return the figures that are sums over cases, whose candidates are drawn together."""
    # Cases without an edit here (a rater who saw some only) have no pair and no rank.
    drawn = weights[:, : int(rows.max(initial=-1)) + 1]
    rho = case_correlations(x, y, rows)
    defined = np.isfinite(rho)
    found = {"within_case": _ratio(drawn @ np.where(defined, rho, 0.0), drawn @ defined.astype(np.float64))}
    for name, gap in (("pairwise", 0.0), ("pairwise_1", 1.0)):
        correct, pairs = ordered_pairs(x, y, rows, gap)
        found[name] = _ratio(drawn @ correct, drawn @ pairs)
    return found


def weighted_mean(values: NDArray, w: Floats) -> Floats:
    """Return the mean (R,) of n values under each weighting (R, n)."""
    return _ratio(w @ values.astype(np.float64), w.sum(axis=1))


def _ratio(part: Floats, whole: Floats) -> Floats:
    return part / np.where(whole > 0, whole, np.nan)


def _some(total: Floats) -> Floats:
    return np.where(total > 0, total, np.nan)
