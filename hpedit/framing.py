"""Aspect buckets: every picture gets the nearest shape, by centre crop, so none is squashed."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from PIL import Image
from torch import Tensor

from hpedit.editors.sizes import bucket_size
from hpedit.images import from_pil, to_float

ASPECTS = ("1:1", "5:4", "4:5", "4:3", "3:4", "3:2", "2:3", "16:9", "9:16")


@dataclass(frozen=True)
class Frame:
    """The shapes that pictures are brought to.

    Attributes:
        aspects: aspect ratios, "width:height".
        resolution: side of the square that has the area of an edit, in pixels.
        source_resolution: the same for the pictures given to the editor.
        multiple: heights and widths are multiples of this.
    """

    aspects: tuple[str, ...]
    resolution: int
    source_resolution: int
    multiple: int

    def __post_init__(self) -> None:
        if not self.aspects:
            raise ValueError("buckets: expected at least one aspect ratio, got none")
        for aspect in self.aspects:
            _ratio(aspect)
        for flag, side in (("resolution", self.resolution), ("source_resolution", self.source_resolution)):
            if side < self.multiple:
                raise ValueError(f"{flag}: expected at least size_multiple {self.multiple}, got {side}")

    def nearest(self, size: tuple[int, int]) -> str:
        """Return the aspect in whose edit size a picture of ``size`` (height, width) loses least."""
        height, width = size
        return min(self.aspects, key=lambda aspect: abs(math.log(self._ratios[aspect] * height / width)))

    @cached_property
    def _ratios(self) -> dict[str, float]:
        # Of the sizes, not the names: in coarse steps two aspects can be one size, and then the first stands for both.
        return {
            aspect: width / height for aspect in self.aspects for height, width in [self.edit_size(aspect)]
        }

    def edit_size(self, aspect: str) -> tuple[int, int]:
        """Return the (height, width) of an edit in a bucket."""
        return bucket_size(_ratio(aspect), self.resolution**2, self.multiple)

    def source_size(self, aspect: str) -> tuple[int, int]:
        """Return the (height, width) at which the editor gets a picture of this aspect."""
        return bucket_size(_ratio(aspect), self.source_resolution**2, self.multiple)


def fit(image: Image.Image, size: tuple[int, int]) -> Tensor:
    """Crop the centre to the aspect of ``size`` (height, width), resize, and return (3, H, W) in [0, 1]."""
    height, width = size
    scale = min(image.width / width, image.height / height)
    # A box of fractions of pixels: both axes shrink by exactly the same factor.
    left, top = (image.width - width * scale) / 2, (image.height - height * scale) / 2
    box = (
        max(left, 0.0),
        max(top, 0.0),
        min(left + width * scale, image.width),
        min(top + height * scale, image.height),
    )
    return to_float(from_pil(image.resize((width, height), Image.Resampling.LANCZOS, box=box)))


def stack(columns: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """Stack B rows of R pictures into R tensors (B, 3, H_r, W_r)."""
    return [torch.stack(list(slot)) for slot in zip(*columns, strict=True)]


def _ratio(aspect: str) -> float:
    match = re.fullmatch(r"([1-9]\d*):([1-9]\d*)", aspect)
    if not match:
        raise ValueError(f'buckets: expected aspect ratios like "4:3" (width:height), got {aspect!r}')
    return int(match[1]) / int(match[2])
