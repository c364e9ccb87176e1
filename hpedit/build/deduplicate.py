"""Stage 2: of photographs that are the same or look alike one stays, and none that a benchmark holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa

from hpedit.build.hamming import BITS, HammingIndex
from hpedit.build.hashing import perceptual_hash
from hpedit.build.layouts import find_pictures
from hpedit.build.stage import Kept
from hpedit.pictures import BadPicture, Picture
from hpedit.rows import open_rows

Verdict = Literal["kept", "same", "alike", "held_out"]


@dataclass(frozen=True)
class Deduplicate:
    """Keeps one of the photographs that are the same, pixel by pixel, or look alike: the largest, then the first.

    Rows of an edit data set that share a photograph but not an instruction are different edits, and all stay.

    Attributes:
        distance: of the 64 bits of the perceptual hash, how many may differ in pictures that look alike; null compares
            pixels only.
        held_out: folders of pictures, or data sets with pictures in any column, such as benchmarks, none of whose
            pictures may be in the result (compared at the same distance, at 0 where that is null).
        chunk_rows: photographs in a chunk.
    """

    distance: int | None = 4
    held_out: tuple[str, ...] = ()
    chunk_rows: int = 256
    name: ClassVar[str] = "deduplicate"
    version: ClassVar[int] = 1
    columns: ClassVar[tuple[str, ...]] = ("sha256", "phash", "width", "height", "instruction")

    def __post_init__(self) -> None:
        if self.distance is not None and not 0 <= self.distance < BITS:
            raise ValueError(
                f"deduplicate.distance: expected 0 to {BITS - 1} bits or null, got {self.distance}"
            )

    def keep(self, light: pa.Table) -> Kept:
        rows = light.to_pylist()
        verdicts = list(judge(rows, self._held_out(), self.distance))
        return Kept(
            rows=[i for i, verdict in verdicts if verdict == "kept"],
            notes=dict(Counter(verdict for _, verdict in verdicts)),
        )

    def _held_out(self) -> Iterator[int]:
        for path in self.held_out:
            for picture in held_out_pictures(path):
                try:
                    yield perceptual_hash(picture.decode())
                except BadPicture as error:
                    raise ValueError(f"deduplicate.held_out: {path}: {error}") from error


def judge(
    rows: list[dict[str, Any]], held_out: Iterable[int], distance: int | None
) -> Iterator[tuple[int, Verdict]]:
    """Say of each row (its number; not in order) whether it stays, and if not, why.

    ``rows`` have the columns of Deduplicate; ``held_out`` are perceptual hashes.
    """
    benchmark = HammingIndex(distance or 0)
    for code in held_out:
        benchmark.add(code)
    seen: set[tuple[str, str | None]] = set()
    alike: dict[str | None, HammingIndex] = {}
    by_size = sorted(range(len(rows)), key=lambda i: -rows[i]["width"] * rows[i]["height"])
    for i in by_size:
        row = rows[i]
        code, edit = row["phash"], row["instruction"]
        index = alike.setdefault(edit, HammingIndex(distance or 0))
        if any(True for _ in benchmark.near(code)):
            yield i, "held_out"
        elif (row["sha256"], edit) in seen:
            yield i, "same"
        elif distance is not None and any(True for _ in index.near(code)):
            yield i, "alike"
        else:
            seen.add((row["sha256"], edit))
            index.add(code)
            yield i, "kept"


def held_out_pictures(path: str) -> Iterator[Picture]:
    """Yield the pictures of a folder, or of every column of a data set. Raises ValueError where there are none."""
    folder = Path(path).expanduser()
    if folder.is_dir() and (found := find_pictures(folder)):
        yield from (Picture(folder / f.key) for f in found)
        return
    rows, count = open_rows(path, f"deduplicate.held_out: {path}"), 0
    for number in range(len(rows)):
        for picture in _pictures(rows[number]):
            count += 1
            yield picture
    if not count:
        raise ValueError(f"deduplicate.held_out: found no pictures in {path}")


def _pictures(value: Any) -> Iterator[Picture]:
    """Yield the embedded pictures of a row, however deep."""
    if isinstance(value, dict):
        if set(value) == {"bytes", "path"}:
            if value["bytes"] is not None:
                yield Picture(value["bytes"])
            return
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for part in value:
            yield from _pictures(part)
