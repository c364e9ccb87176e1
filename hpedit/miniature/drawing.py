"""Painting 64x64 pictures: shapes, textures, blur. Pictures are float32 (3, 64, 64) in [0, 1]."""

from __future__ import annotations

from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

SIZE = 64

Picture = NDArray[np.floating]  # (3, 64, 64) float32 in [0, 1]
Mask = NDArray[np.floating]  # (64, 64) float32 in [0, 1]

SHAPES: tuple[str, ...] = ("circle", "square", "triangle", "cross", "ring")
TEXTURES: tuple[str, ...] = ("plain", "stripes", "bars", "diagonals", "checks", "dots")
PERIOD = 16  # of every texture, in pixels: one token of the editor, so that a texture is one thing to learn

_Y, _X = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) + np.float32(0.5)


@cache
def shape_mask(shape: str, x: float, y: float, radius: float) -> Mask:
    """Return how much of each pixel a shape centred at (x, y) covers; edges are one pixel soft."""
    return np.clip(0.5 - _outside_distance(shape, _X - x, _Y - y, radius), 0.0, 1.0).astype(np.float32)


def _outside_distance(shape: str, dx: Mask, dy: Mask, r: float) -> Mask:
    """Return (about) the distance in pixels to the shape's outline, negative inside."""
    if shape == "circle":
        return np.hypot(dx, dy) - r
    if shape == "ring":
        return np.abs(np.hypot(dx, dy) - 0.75 * r) - 0.27 * r
    if shape == "square":
        return np.maximum(np.abs(dx), np.abs(dy)) - 0.88 * r
    if shape == "cross":
        long, short = np.maximum(np.abs(dx), np.abs(dy)), np.minimum(np.abs(dx), np.abs(dy))
        return np.maximum(long - r, short - 0.36 * r)
    if shape == "triangle":
        slope = np.float32(2 / np.sqrt(5))
        return np.maximum((2 * np.abs(dx) - dy - 1.05 * r) * slope / 2, dy - 0.9 * r)
    raise ValueError(f"shape: expected one of {', '.join(SHAPES)}, got {shape!r}")


@cache
def texture_wave(texture: str) -> Mask:
    """Return a smooth (64, 64) pattern in [-1, 1]."""
    x, y = _X * np.float32(2 * np.pi / PERIOD), _Y * np.float32(2 * np.pi / PERIOD)
    if texture == "plain":
        return np.zeros((SIZE, SIZE), np.float32)
    if texture == "stripes":
        return np.sin(x)
    if texture == "bars":
        return np.sin(y)
    if texture == "diagonals":
        return np.sin(x + y)
    if texture == "checks":
        return np.sin(x) * np.sin(y)
    if texture == "dots":
        return 0.5 * (1 + np.cos(x)) * (1 + np.cos(y)) - 1
    raise ValueError(f"texture: expected one of {', '.join(TEXTURES)}, got {texture!r}")


def paint(picture: Picture, mask: Mask, colour: tuple[float, float, float]) -> Picture:
    """Return ``picture`` with ``colour`` laid over it where ``mask`` is 1."""
    return picture + mask * (np.array(colour, np.float32)[:, None, None] - picture)


def blur(picture: Picture, sigma: float) -> Picture:
    """Return a Gaussian blur of a (..., 64, 64) array; ``sigma`` in pixels, the border is not darkened."""
    rows = _blur_matrix(round(float(sigma), 2))
    return rows @ picture @ rows.T


@lru_cache(maxsize=512)
def _blur_matrix(sigma: float) -> NDArray[np.float32]:
    offset = np.arange(SIZE)[:, None] - np.arange(SIZE)[None, :]
    weight = np.exp(-0.5 * (offset / max(sigma, 1e-3)) ** 2)
    return (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)


def ramp(side: str) -> Mask:
    """Return brightness falling from 1 at ``side`` (left, right, top, bottom) to 0 at the far side."""
    along = {"left": 1 - _X / SIZE, "right": _X / SIZE, "top": 1 - _Y / SIZE, "bottom": _Y / SIZE}
    if side not in along:
        raise ValueError(f"side: expected one of {', '.join(along)}, got {side!r}")
    return along[side]


def to_uint8(picture: Picture) -> NDArray[np.uint8]:
    """Round a picture in [0, 1] to 8 bits."""
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
