"""What a stage of a build reads, of any size, without a model having made it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from hpedit.build.chunks import ParquetRecords
from hpedit.build.coco import COCO_CATEGORIES
from hpedit.build.collect import Collect
from hpedit.build.kinds import CASES, ITEMS, PHOTOS, Kind
from hpedit.build.photo import Photo
from hpedit.build.sources import Folder
from hpedit.cases import Candidate, Case, Provenance, ScoreRecord
from hpedit.pictures import Picture
from hpedit.tasks import TASKS

_CHUNK = 256  # rows in a file
_PICTURES = 64  # that repeat: drawing them is slower than storing them
_CANDIDATES = 2


def collect(folder: Path, rows: int, side: int) -> Collect:
    """Return a Collect of smooth random JPEGs, no two of them alike, which are written unless they are there."""
    place, draw = folder / f"photographs-{rows}-{side}", np.random.default_rng(0)
    for n in range(rows):
        pixels, file = _smooth(draw), place / f"{n // 1000:03d}" / f"{n:06d}.jpg"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(_jpeg(pixels, side))
    return Collect((Folder(str(place)),), min_side=16)


def items(folder: Path, rows: int, side: int) -> ParquetRecords:
    """Return what ``collect`` reads."""
    file = folder / f"items-{rows}-{side}.parquet"
    pq.write_table(ITEMS.table(collect(folder, rows, side).items()), file)
    return ParquetRecords(ITEMS, (file,))


def photos(folder: Path, rows: int, side: int) -> ParquetRecords:
    """Return what deduplicate reads: photos with random hashes, so that all are kept."""
    pictures, draw = _pool(side), np.random.default_rng(1)

    def photo(n: int) -> Photo:
        code, digest = int(draw.integers(0, 2**64, dtype=np.uint64)), draw.bytes(32).hex()
        origin = Provenance("random", str(n), "CC0")
        return Photo(f"random/{n:08d}", pictures(n), side, side, digest, code, origin)

    return _written(folder / f"photos-{rows}-{side}", PHOTOS, map(photo, range(rows)))


def cases(folder: Path, rows: int, side: int, scored: bool) -> ParquetRecords:
    """Return what balance reads; ``scored``, with candidates and scores, what filter and publish read."""
    pictures, draw = _pool(side), np.random.default_rng(2)

    def case(n: int) -> Case:
        task, category = TASKS[n % len(TASKS)], COCO_CATEGORIES[int(80 * draw.random() ** 2)]
        number = _CANDIDATES if scored else 0
        return Case(
            case_id=f"random/{n:08d}-{task}",
            task=task,
            instruction=f"Change what can be seen in picture {n} so that the change can be measured.",
            source=pictures(n),
            categories=(category,),
            provenance=Provenance("random", str(n), "CC0"),
            candidates=tuple(Candidate(f"{n}-{i}", pictures(n + i + 1), "random") for i in range(number)),
            scores=tuple(_score(f"{n}-{i}", draw) for i in range(number)),
        )

    name = f"cases-{'scored' if scored else 'bare'}-{rows}-{side}"
    return _written(folder / name, CASES, map(case, range(rows)))


def _score(candidate: str, draw: np.random.Generator) -> ScoreRecord:
    shares = draw.dirichlet(np.full(6, 0.3)).tolist()
    value = sum(digit * share for digit, share in enumerate(shares))
    return ScoreRecord(candidate, "random", value=value, dist=tuple(shares), mass=1.0)


def _pool(side: int) -> Callable[[int], Picture]:
    """Return few pictures as many: what follows a JPEG's end makes another file of it, and the same picture."""
    draw = np.random.default_rng(3)
    pool = [_jpeg(_smooth(draw), side) for _ in range(_PICTURES)]
    return lambda n: Picture(pool[n % _PICTURES] + n.to_bytes(8, "little"))


def _smooth(draw: np.random.Generator) -> np.ndarray:
    return draw.integers(0, 256, (8, 8, 3), np.uint8)


def _jpeg(coarse: np.ndarray, side: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC).save(out, "JPEG", quality=85)
    return out.getvalue()


def _written(place: Path, kind: Kind, records: Iterator[Any]) -> ParquetRecords:
    """Write records in files of a chunk each, unless they are there."""
    done = place / "done"
    if not done.exists():
        place.mkdir(parents=True, exist_ok=True)
        for number, chunk in enumerate(_chunks(records)):
            pq.write_table(kind.table(chunk), place / f"chunk-{number:05d}.parquet", row_group_size=64)
        done.touch()
    return ParquetRecords(kind, tuple(sorted(place.glob("chunk-*.parquet"))))


def _chunks(records: Iterator[Any]) -> Iterator[list[Any]]:
    while chunk := list(islice(records, _CHUNK)):
        yield chunk
