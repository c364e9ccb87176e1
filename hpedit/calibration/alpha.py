"""Krippendorff's alpha: how far people agree among themselves beyond chance. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import krippendorff
import numpy as np

from hpedit.calibration.metrics import Floats

Level = Literal["interval", "ordinal"]


def alpha(ratings: Floats, level: Level) -> float:
    """Return alpha of ratings (raters, n edits), NaN where a rater skipped an edit; 1 is full agreement, 0 chance.

    NaN where no edit has two ratings or all ratings are equal.
    """
    rated = np.isfinite(ratings)
    paired = ratings[:, rated.sum(axis=0) > 1]
    if not paired.size or np.nanmax(paired) == np.nanmin(paired):
        return math.nan
    return float(krippendorff.alpha(reliability_data=paired, level_of_measurement=level))


def weighted_alpha(ratings: Floats, level: Level, weights: Floats) -> Floats:
    """Return alpha (R,) with each edit there ``weights`` (R, n) times."""
    rated = np.isfinite(ratings).sum(axis=0)
    values = np.unique(ratings[:, rated > 1][np.isfinite(ratings[:, rated > 1])])
    counts = np.stack([(ratings == value).sum(axis=0) for value in values], axis=1) if len(values) else None
    if counts is None:
        return np.full(len(weights), np.nan)
    per_pair = np.where(rated > 1, 1 / np.maximum(rated - 1, 1), 0.0)
    return np.array([_alpha(counts, values, level, row * per_pair) for row in weights])


def ratings_matrix(raters: Sequence[Sequence[str]], ratings: Sequence[Sequence[float]]) -> Floats:
    """Lay out who said what of n edits as (all raters in alphabetical order, n), NaN for not rated."""
    number = {name: row for row, name in enumerate(sorted({name for names in raters for name in names}))}
    matrix = np.full((len(number), len(ratings)), np.nan)
    for column, (names, values) in enumerate(zip(raters, ratings, strict=True)):
        matrix[[number[name] for name in names], column] = values
    return matrix


def _alpha(counts: Floats, values: Floats, level: Level, weight: Floats) -> float:
    """Return alpha from how often each edit got each of K values (n, K) and the weight of an edit's pairs (n,)."""
    met = counts.T @ (weight[:, None] * counts) - np.diag(weight @ counts)
    margin = met.sum(axis=1)
    # Ordinal distance runs over the ratings in between, half of those at either end: a difference of mid-ranks.
    place = values if level == "interval" else np.cumsum(margin) - margin / 2
    apart = (place[:, None] - place) ** 2
    expected = margin @ apart @ margin
    return 1 - (met * apart).sum() * (margin.sum() - 1) / expected if expected > 0 else math.nan
