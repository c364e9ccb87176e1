"""Sizes in pixels that keep a picture's shape: nothing is squashed to a square."""

from __future__ import annotations

import math
from itertools import product


def bucket_size(aspect: float, area: int, multiple: int) -> tuple[int, int]:
    """Return the (height, width) of the aspect bucket for pictures of width / height ``aspect``.

    Both are multiples of ``multiple``; of those next to the ideal size, the pair with the least relative error
    in shape and area together is taken. Pictures are cut to it, not squashed.
    Raises ValueError unless aspect, area and multiple are positive.
    """
    if not (aspect > 0 and area > 0 and multiple > 0):
        raise ValueError(
            f"bucket size: wanted positive aspect, area, multiple, got {aspect}, {area}, {multiple}"
        )
    heights = _neighbours(math.sqrt(area / aspect), multiple)
    widths = _neighbours(math.sqrt(area * aspect), multiple)

    def error(size: tuple[int, int]) -> tuple[float, int]:
        height, width = size
        shape = abs(math.log(width / height / aspect))
        return shape + abs(math.log(height * width / area)), height * width

    return min(product(heights, widths), key=error)


def target_size(width: int, height: int, area: int, multiple: int) -> tuple[int, int]:
    """Return the (height, width) of an edit of a ``width`` x ``height`` picture: its aspect bucket."""
    return bucket_size(width / height, area, multiple)


def scaled_size(width: int, height: int, area: int, multiple: int = 32) -> tuple[int, int]:
    """Return the (height, width) near ``area`` that Qwen-Image-Edit scales its input pictures to.

    Each side is rounded to ``multiple`` by itself, as diffusers' pipeline does, but never to 0.
    """
    aspect = width / height
    ideal = math.sqrt(area * aspect)
    return _rounded(ideal / aspect, multiple), _rounded(ideal, multiple)


def floored_size(width: int, height: int, area: int, multiple: int = 16) -> tuple[int, int]:
    """Return the (height, width) near ``area`` that FLUX.1-Kontext gives an edit, sides rounded down.

    Raises ValueError where a side would be 0.
    """
    aspect = width / height
    size = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
    floored = size[0] // multiple * multiple, size[1] // multiple * multiple
    if 0 in floored:
        raise ValueError(
            f"area: {area} pixels are too few for the shape {width} x {height} in steps of {multiple}"
        )
    return floored


def _rounded(length: float, multiple: int) -> int:
    return max(round(length / multiple), 1) * multiple


def _neighbours(length: float, multiple: int) -> list[int]:
    below = max(int(length // multiple), 1)
    return [below * multiple, (below + 1) * multiple]
