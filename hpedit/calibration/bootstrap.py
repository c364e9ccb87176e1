"""Intervals that know that several edits of one case are not independent: whole cases are drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpedit.calibration.metrics import Floats

LEVEL = 0.95
# An interval from fewer resamples than this share would speak of the benign ones only.
_LEAST_DEFINED = 0.9


@dataclass(frozen=True)
class Estimate:
    """A figure and its bootstrap interval; NaN for what the data do not define.

    Attributes:
        value: the figure on all edits.
        low, high: ends of the 95 % percentile interval.
    """

    value: float
    low: float = math.nan
    high: float = math.nan

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "n/a"
        return f"{self.value:.3f}" + ("" if math.isnan(self.low) else f" [{self.low:.3f}, {self.high:.3f}]")


def case_weights(cases: int, resamples: int, seed: int) -> Floats:
    """Return how often each of C cases is drawn in each of R resamples of C draws: (R, C)."""
    if not cases:
        return np.zeros((resamples, 0))
    draw = np.random.default_rng([seed, cases])
    return draw.multinomial(cases, np.full(cases, 1 / cases), size=resamples).astype(np.float64)


def estimate(value: float, replicates: Floats) -> Estimate:
    """Return ``value`` with the percentile interval of its (R,) replicates.

    There is none where a tenth of the resamples or more leave the figure undefined.
    """
    defined = replicates[np.isfinite(replicates)]
    if not len(replicates) or len(defined) < _LEAST_DEFINED * len(replicates):
        return Estimate(value)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return Estimate(value, float(low), float(high))


def estimates(values: Mapping[str, float], replicates: Mapping[str, Floats]) -> dict[str, Estimate]:
    """Return an Estimate of each figure that has replicates."""
    return {name: estimate(values[name], replicates[name]) for name in replicates}


def plain(value: Any) -> Any:
    """Return nested dicts and lists as JSON knows them: null for the figures that the data do not define."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
