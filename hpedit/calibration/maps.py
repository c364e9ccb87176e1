"""Maps from a judge's score to the people's mean, fitted on rated edits. Pure.

A map repairs scale and offset, never the order: what the judge ties or ranks wrongly stays so.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import isotonic_regression

from hpedit.calibration.ratings import BEST
from hpedit.scorers.score_map import AffineMap, IsotonicMap, ScoreMap

MapKind = Literal["affine", "isotonic"]
Floats = NDArray[np.float64]


def fit_map(kind: MapKind, predicted: ArrayLike, human: ArrayLike) -> ScoreMap | None:
    """Return the map of this kind, fitted by least squares; None where no map would tell anything apart."""
    return fit_affine(predicted, human) if kind == "affine" else fit_isotonic(predicted, human)


def fit_affine(predicted: ArrayLike, human: ArrayLike) -> AffineMap | None:
    """Return the least-squares line, None where it does not rise (the judge tells nothing apart, or ranks backwards).

    Args:
        predicted: (n,) judge scores in [0, 5], NaN where one is missing.
        human: (n,) human means in [0, 5].
    """
    x, y = _had(predicted, human)
    if not len(x):
        return None
    dx, dy = x - x.mean(), y - y.mean()
    rise, power = float(dx @ dy), float(dx @ dx)
    if rise <= 0 or power <= 0:
        return None
    slope = rise / power
    return AffineMap(slope, float(y.mean()) - slope * float(x.mean()))


def fit_isotonic(predicted: ArrayLike, human: ArrayLike) -> IsotonicMap | None:
    """Return the least-squares monotone map by its corners, None where it does not rise. Arguments as of fit_affine."""
    x, y = _had(predicted, human)
    # Edits of equal score are one point of their weight: a map has one value there.
    levels, where, weights = np.unique(x, return_inverse=True, return_counts=True)
    if len(levels) < 2:
        return None
    means = np.bincount(where, weights=y) / weights
    # The running maximum undoes what rounding takes from a block's equal values.
    fitted = isotonic_regression(means, weights=weights.astype(np.float64)).x
    rating = np.maximum.accumulate(np.clip(fitted, 0.0, BEST))
    if rating[0] == rating[-1]:
        return None
    corners = _corners(rating)
    return IsotonicMap(tuple(levels[corners].tolist()), tuple(rating[corners].tolist()))


def mapped(score_map: ScoreMap | None, scores: ArrayLike) -> Floats:
    """Return the (n,) scores through the map; NaN stays NaN, and without a map all stays as it is."""
    values = np.asarray(scores, np.float64)
    if score_map is None:
        return values
    return np.array([v if np.isnan(v) else score_map(float(v)) for v in values])


def _had(predicted: ArrayLike, human: ArrayLike) -> tuple[Floats, Floats]:
    x, y = np.asarray(predicted, np.float64), np.asarray(human, np.float64)
    if x.shape != y.shape or x.ndim != 1:
        raise ValueError(f"map: expected as many scores as ratings, got {x.shape} and {y.shape}")
    return x[np.isfinite(x)], y[np.isfinite(x)]


def _corners(rating: Floats) -> NDArray[np.bool_]:
    """Mark the first and last point of each level run: the points between them change nothing."""
    rises = np.diff(rating) > 0
    return np.concatenate([[True], rises]) | np.concatenate([rises, [True]])
