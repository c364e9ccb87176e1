"""Stage: which MS-COCO categories are seen in a photograph, by CLIP (paper, section 4.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import torch
from PIL import Image
from torch import Tensor

from hpedit.build.clip import TextMatcher
from hpedit.build.coco import COCO_CATEGORIES
from hpedit.build.kinds import PHOTOS, Kind
from hpedit.build.photo import Photo
from hpedit.build.stage import Failure, Outcome, Work, Workers
from hpedit.pictures import BadPicture


@dataclass(frozen=True)
class Categorise:
    """Names the categories of each photograph, the best match first: it is the one that balancing counts.

    The best match is always named, and every other category from ``threshold`` on. Where the data set itself names
    the categories of a photograph, they are kept, and only put in order.

    Attributes:
        model: folder or hub id of a CLIP checkpoint.
        revision: of a hub checkpoint.
        threshold: least cosine of picture and text, in [-1, 1], at which a category is seen; each CLIP has cosines of
            its own.
        template: the text that is compared, with {} for the category's name.
        device: "cuda:1", "cpu", ...; the GPU by default, the CPU where there is none.
        chunk_rows: photographs in a chunk.
        workers: who does the work; a batch goes through CLIP at once.
    """

    model: str = "openai/clip-vit-base-patch32"
    revision: str | None = None
    threshold: float = 0.27
    template: str = "a photo of a {}"
    device: str | None = None
    chunk_rows: int = 256
    workers: Workers = Workers(batch_size=32)
    name: ClassVar[str] = "categorise"
    version: ClassVar[int] = 1
    reads: ClassVar[Kind[Photo]] = PHOTOS
    writes: ClassVar[Kind[Photo]] = PHOTOS

    def __post_init__(self) -> None:
        if not -1.0 <= self.threshold <= 1.0:
            raise ValueError(f"categorise.threshold: expected a cosine in [-1, 1], got {self.threshold}")
        if self.template.count("{}") != 1:
            raise ValueError(f"categorise.template: expected a text with one {{}}, got {self.template!r}")

    def check(self) -> None:
        self._matcher()

    def open(self) -> Work[Photo, Photo]:
        return partial(_categorise, self._matcher(), self.threshold)

    def _matcher(self) -> TextMatcher:
        texts = [self.template.replace("{}", name) for name in COCO_CATEGORIES]
        try:
            return TextMatcher(self.model, texts, self.revision, self.device)
        except ValueError as error:
            raise ValueError(f"categorise.{error}") from error


def _categorise(matcher: TextMatcher, threshold: float, photos: Sequence[Photo]) -> list[Outcome[Photo]]:
    decoded = [_decoded(photo) for photo in photos]
    pictures = [d for d in decoded if isinstance(d, Image.Image)]
    rows = iter(matcher.similarities(pictures) if pictures else torch.empty(0, len(COCO_CATEGORIES)))
    return [
        d if isinstance(d, Failure) else [replace(p, categories=named(next(rows), p.categories, threshold))]
        for p, d in zip(photos, decoded, strict=True)
    ]


def _decoded(photo: Photo) -> Image.Image | Failure:
    try:
        return photo.image.decode()
    except BadPicture as error:
        return Failure(str(error))


def named(similarities: Tensor, known: Sequence[str], threshold: float) -> tuple[str, ...]:
    """Return the categories of a photograph, the most similar first.

    Args:
        similarities: (80,) cosines with COCO_CATEGORIES.
        known: what its data set names. Names that MS-COCO does not have come last.
        threshold: least cosine of a category beyond the first; of no account where some are known.
    """
    value = dict(zip(COCO_CATEGORIES, similarities.tolist(), strict=True))
    if known:
        return tuple(sorted(known, key=lambda name: -value.get(name, -2.0)))
    ranked = sorted(COCO_CATEGORIES, key=lambda name: -value[name])
    return (ranked[0], *(name for name in ranked[1:] if value[name] >= threshold))
