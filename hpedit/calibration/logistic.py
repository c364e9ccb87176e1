"""The four-parameter logistic between a judge's scale and people's, as quality assessment reports it. Pure."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from scipy.optimize import OptimizeWarning, curve_fit
from scipy.special import expit

from hpedit.calibration.metrics import Floats

_LEAST = 5  # one more than there are parameters


@dataclass(frozen=True)
class Logistic:
    """f(x) = low + (high - low) / (1 + exp(-(x - centre) / width)); the identity where no fit was had.

    Attributes:
        low, high: what f tends to; they may lie off the scale, where only its straight part is needed.
        centre, width: where it is steepest and how far the slope reaches, on the judge's scale; width > 0.
        failure: why there is no fit; None where there is one.
    """

    low: float = 0.0
    high: float = 5.0
    centre: float = 2.5
    width: float = 1.0
    failure: str | None = None

    def __call__(self, x: Floats) -> Floats:
        return x if self.failure else _curve(x, self.low, self.high, self.centre, self.width)


def fit_logistic(x: Floats, y: Floats) -> Logistic:
    """Fit f(x) to y by least squares with bounds (VQEG's form); n finite values in [0, 5] each.

    The fit sees the edits that it is judged on, so a mapped correlation flatters: print the raw one beside it.
    """
    if len(x) < _LEAST or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Logistic(failure=f"a fit wants {_LEAST} edits and spread in both scores")
    start = [float(y.min()), float(y.max()), x.mean(), max(float(x.std()), 0.05)]
    # The limits may lie off the scale, so that a straight line is among the curves.
    bounds = ([-10.0, 0.0, -5.0, 0.01], [5.0, 15.0, 10.0, 50.0])
    try:
        with warnings.catch_warnings():
            # The covariance of the parameters is not asked for.
            warnings.simplefilter("ignore", OptimizeWarning)
            (low, high, centre, width), _ = curve_fit(_curve, x, y, p0=start, bounds=bounds, max_nfev=2000)
    except RuntimeError:
        return Logistic(failure="the fit did not converge")
    if high < low:
        return Logistic(failure="the best fit falls where the judge rises")
    return Logistic(float(low), float(high), float(centre), float(width))


def _curve(x: Floats, low: float, high: float, centre: float, width: float) -> Floats:
    return low + (high - low) * expit((x - centre) / width)
