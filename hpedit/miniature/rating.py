"""The exact rating: the miniature's stand-in for a person's 0-5 score, from pictures alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Pictures = NDArray[np.generic]  # (..., 3, H, W), uint8 or float in [0, 1]

TOLERANCE = 0.05  # a channel may be this far off before anyone sees it; covers the tiny autoencoder's error
TOUCHED = 0.06  # a pixel counts as changed when the edit moves a channel by more than about this
MISS_SHARE = 0.06  # share of the change that may be missing at full marks
DAMAGE = 0.16  # root mean square of the visible error at which the rest of the picture is spoilt
SPOILT = 0.60  # share of the score that a spoilt rest costs


@dataclass(frozen=True)
class Rating:
    """Ratings of n edits, each array of shape (...).

    Attributes:
        followed: how much of the asked change was made, in [0, 1].
        damage: how far the rest was spoilt, in [0, 1].
        score: 5 * followed * (1 - SPOILT * damage): 0 unchanged or wrong, 3 followed but poor, 5 clean.
    """

    followed: NDArray[np.float64]
    damage: NDArray[np.float64]

    @property
    def score(self) -> NDArray[np.float64]:
        return 5 * self.followed * (1 - SPOILT * self.damage)


def rate(source: Pictures, edit: Pictures, target: Pictures) -> Rating:
    """Rate edits against the exact target; all three of shape (..., 3, H, W), uint8 or float in [0, 1].

    Inside the region where target and source differ, the visible error is weighed against the asked change:
    an unchanged picture misses all of it. Outside, the visible error is damage. Both fall continuously.
    """
    source, edit, target = (_as_float(p) for p in (source, edit, target))
    asked, off = np.abs(target - source), np.abs(edit - target)
    touched = _rise(asked.max(axis=-3, keepdims=True), 0.5 * TOUCHED, 1.5 * TOUCHED)
    asked, off = np.maximum(asked - TOLERANCE, 0), np.maximum(off - TOLERANCE, 0)
    missed = _total(touched * off) / np.maximum(_total(touched * asked), 1e-6)
    # The area floor keeps a few untouched pixels of a global edit from deciding the score.
    rest = np.maximum(_total(1 - touched), 0.05 * source.shape[-1] * source.shape[-2])
    damage = np.sqrt(_total((1 - touched) * off**2) / rest / 3)
    return Rating(1 - _rise(missed, MISS_SHARE, 1.0), _rise(damage, 0.0, DAMAGE))


def _as_float(pictures: Pictures) -> NDArray[np.floating]:
    if pictures.dtype == np.uint8:
        return pictures.astype(np.float32) / 255
    return pictures.astype(np.float32)


def _rise(value: NDArray, low: float, high: float) -> NDArray:
    """Return 0 below ``low``, 1 above ``high``, a straight line between."""
    return np.clip((value - low) / (high - low), 0, 1)


def _total(pictures: NDArray) -> NDArray[np.float64]:
    return pictures.sum(axis=(-3, -2, -1), dtype=np.float64)
