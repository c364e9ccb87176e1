"""Stage 1: photographs, decoded, upright, hashed, with where they come from."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

from PIL import Image

from hpedit.build.hashing import perceptual_hash, pixel_hash
from hpedit.build.kinds import ITEMS, PHOTOS, Item, Kind
from hpedit.build.photo import Photo
from hpedit.build.sources import EditDataset, Folder, OpenDataset, OpenFolder, open_sources
from hpedit.build.stage import Failure, Outcome, Work, Workers
from hpedit.pictures import Picture

_ORIENTATION = 0x0112
_KEPT_FORMATS = {"JPEG", "PNG", "WEBP"}


@dataclass(frozen=True)
class Collect:
    """Reads photographs from folders and data sets. What cannot be decoded is quarantined; what is too small is left.

    Attributes:
        folders: of photographs.
        datasets: of edits, whose instructions and targets are kept.
        min_side: least length of a photograph's shorter side, in pixels.
        max_side: longer ones are shrunk to this length of the longer side; null keeps every size. A target is shrunk
            with its photograph.
        chunk_rows: pictures in a chunk.
        workers: who reads them.
    """

    folders: tuple[Folder, ...] = ()
    datasets: tuple[EditDataset, ...] = ()
    min_side: int = 512
    max_side: int | None = None
    chunk_rows: int = 256
    workers: Workers = Workers()
    name: ClassVar[str] = "collect"
    version: ClassVar[int] = 2
    reads: ClassVar[Kind[Item]] = ITEMS
    writes: ClassVar[Kind[Photo]] = PHOTOS

    def __post_init__(self) -> None:
        if self.min_side < 1 or (self.max_side is not None and self.max_side < self.min_side):
            raise ValueError(
                f"collect: expected 1 <= min_side <= max_side, got {self.min_side} and {self.max_side}"
            )

    def items(self) -> list[Item]:
        """List everything that there is to read. Raises ValueError where there is nothing, or a name comes twice."""
        sources = open_sources(self.folders, self.datasets)
        items = [item for number, source in enumerate(sources) for item in source.items(number)]
        if not items:
            raise ValueError("collect: wanted folders or datasets, got neither")
        name, count = Counter(item.item_id for item in items).most_common(1)[0]
        if count > 1:
            raise ValueError(
                f"collect: {name!r} is in {count} sources; give one of the folders another name (folders[].name)"
            )
        return items

    def check(self) -> None:
        """There is nothing that could be away: items() has looked."""

    def open(self) -> Work[Item, Photo]:
        return partial(_collect, self, open_sources(self.folders, self.datasets))


def _collect(
    settings: Collect, sources: Sequence[OpenFolder | OpenDataset], items: Sequence[Item]
) -> list[Outcome[Photo]]:
    return [_photo(settings, sources[item.source], item) for item in items]


def _photo(settings: Collect, source: OpenFolder | OpenDataset, item: Item) -> Outcome[Photo]:
    try:
        raw = source.read(item.key)
        image = raw.image.decode()
        if min(image.size) < settings.min_side:
            return []
        target = None if raw.target is None else stored(raw.target, raw.target.decode(), settings.max_side)[0]
    except ValueError as error:
        return Failure(str(error))
    picture, (width, height) = stored(raw.image, image, settings.max_side)
    return [
        Photo(
            photo_id=item.item_id,
            image=picture,
            width=width,
            height=height,
            sha256=pixel_hash(image),
            phash=perceptual_hash(image),
            provenance=replace(item.provenance, row=raw.row or item.provenance.row),
            categories=item.categories,
            task=raw.task,
            instruction=raw.instruction,
            instruction_lang=raw.language,
            target=target,
            ratings=raw.ratings,
        )
    ]


def stored(original: Picture, image: Image.Image, max_side: int | None) -> tuple[Picture, tuple[int, int]]:
    """Return a picture as it is kept, and its (width, height): its own bytes wherever they will do.

    What lies on its side, is longer than ``max_side`` or of a rare format is encoded anew: a JPEG at quality 95
    without chroma subsampling, anything else as PNG. ``image`` is the decoded, upright original.
    """
    raw = original.read()
    with Image.open(io.BytesIO(raw)) as header:
        kind, upright = header.format, _orientation(header) == 1
    longer = max(image.size)
    if upright and kind in _KEPT_FORMATS and (max_side is None or longer <= max_side):
        return Picture(raw), image.size
    if max_side is not None and longer > max_side:
        image = image.copy()
        image.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    if kind == "JPEG":
        image.save(buffer, "JPEG", quality=95, subsampling=0)
    else:
        image.save(buffer, "PNG")
    return Picture(buffer.getvalue()), image.size


def _orientation(header: Image.Image) -> int:
    # Not header.getexif(): for a PNG it decodes the whole picture.
    exif = Image.Exif()
    exif.load(header.info.get("exif", b""))
    return exif.get(_ORIENTATION, 1)
