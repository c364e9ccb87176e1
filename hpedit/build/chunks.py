"""A stage's folder: chunks of Parquet and what was quarantined, each committed at once or not at all.

    04-categorise-1a2b3c4d5e6f/
        settings.json                   what the fingerprint was made of
        chunk-00012.parquet             committed by its name: complete, or not there
        chunk-00012.quarantine.jsonl    there before its chunk is: record, stage, reason

A chunk carries its own counts in the footer, so that the summary of a build is read from what is committed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from hpedit.build.kinds import Kind

_STATS = b"hpedit.chunk"
# Small row groups: a slice of a chunk, or the viewer of a hub, need not decode all of it.
_ROWS_PER_GROUP = 64


@dataclass(frozen=True)
class Quarantined:
    """A record that came to nothing in a stage, and why."""

    record: str
    stage: str
    reason: str


@dataclass(frozen=True)
class ChunkStats:
    """Counts of one chunk, and the seconds that it took.

    Attributes:
        records_in: records read.
        records_out: records that they became.
        quarantined: records read that failed.
        left_out: records read that rightly became nothing.
    """

    records_in: int
    records_out: int
    quarantined: int
    left_out: int
    seconds: float


@dataclass(frozen=True)
class ChunkFolder:
    """The committed chunks of one stage.

    Attributes:
        path: of the folder.
    """

    path: Path

    def chunk(self, number: int) -> Path:
        return self.path / f"chunk-{number:05d}.parquet"

    def quarantine(self, number: int) -> Path:
        return self.path / f"chunk-{number:05d}.quarantine.jsonl"

    def missing(self, count: int) -> list[int]:
        """Return which of ``count`` chunks are not committed."""
        there = {entry.name for entry in os.scandir(self.path)} if self.path.is_dir() else set()
        return [n for n in range(count) if self.chunk(n).name not in there]

    def commit(self, number: int, table: pa.Table, bad: Sequence[Quarantined], stats: ChunkStats) -> None:
        """Make a chunk durable. It appears under its name last, so that without the name it never was."""
        self.path.mkdir(parents=True, exist_ok=True)
        # A run that was killed may have left a quarantine for a chunk that now has none.
        self.quarantine(number).unlink(missing_ok=True)
        if bad:
            lines = "".join(json.dumps(asdict(q), ensure_ascii=False) + "\n" for q in bad)
            write_durably(self.quarantine(number), lines.encode())
        metadata = {**(table.schema.metadata or {}), _STATS: json.dumps(asdict(stats)).encode()}
        write_table_durably(self.chunk(number), table.replace_schema_metadata(metadata))

    def stats(self, number: int) -> ChunkStats:
        return ChunkStats(**json.loads(pq.read_schema(self.chunk(number)).metadata[_STATS]))

    def quarantined(self, count: int) -> Iterator[Quarantined]:
        """Yield what the first ``count`` chunks quarantined."""
        for file in map(self.quarantine, range(count)):
            if file.exists():
                for line in file.read_text(encoding="utf-8").splitlines():
                    yield Quarantined(**json.loads(line))

    def forget_failures(self) -> None:
        """Remove the chunks that have a quarantine, so that they are missing."""
        for file in self.path.glob("chunk-*.quarantine.jsonl"):
            file.with_name(file.name.replace(".quarantine.jsonl", ".parquet")).unlink(missing_ok=True)


@dataclass(frozen=True)
class ParquetRecords:
    """All records of a finished stage, read piece by piece.

    Attributes:
        kind: of the records.
        files: that hold them, in order.
    """

    kind: Kind
    files: tuple[Path, ...]

    def __len__(self) -> int:
        return self._ends[-1] if self.files else 0

    def light(self, columns: Sequence[str]) -> pa.Table:
        """Return some columns (Parquet paths) of all records, the id first."""
        wanted = [self.kind.id, *(c for c in columns if c != self.kind.id)]
        if not self.files:
            return self.kind.table(()).select([self.kind.id])
        return pa.concat_tables(_columns(file, wanted) for file in self.files)

    def slice(self, start: int, stop: int) -> pa.Table:
        """Return the records from ``start`` to ``stop`` with all their columns, reading no others."""
        pieces = []
        for file, end, size in zip(self.files, self._ends, self._sizes, strict=True):
            begin = end - size
            if max(start, begin) < min(stop, end):
                pieces.append(_rows(file, max(start - begin, 0), min(stop - begin, size)))
        return pa.concat_tables(pieces) if pieces else self.kind.table(())

    def tables(self, rows: int) -> Iterator[pa.Table]:
        """Yield the records, ``rows`` at a time, with all columns, also those that a ReduceStage added."""
        for start in range(0, len(self), rows):
            yield self.slice(start, start + rows)

    @cached_property
    def _sizes(self) -> list[int]:
        return [pq.read_metadata(file).num_rows for file in self.files]

    @cached_property
    def _ends(self) -> list[int]:
        return list(accumulate(self._sizes))


def _columns(path: Path, columns: list[str]) -> pa.Table:
    # Not pq.read_table: it does not know the paths of nested columns.
    with pq.ParquetFile(path) as file:
        return file.read(columns=columns).replace_schema_metadata()


def _rows(path: Path, start: int, stop: int) -> pa.Table:
    """Read the row groups that hold rows ``start`` to ``stop`` of a file, and cut them to size."""
    with pq.ParquetFile(path) as file:
        ends = list(accumulate(file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)))
        begins = [0, *ends[:-1]]
        groups = [g for g, (b, e) in enumerate(zip(begins, ends, strict=True)) if b < stop and start < e]
        table = file.read_row_groups(groups)
    return table.slice(start - begins[groups[0]], stop - start).replace_schema_metadata()


def write_table_durably(path: Path, table: pa.Table) -> None:
    """Write a Parquet file that appears under its name complete and on the disk."""
    part = _part(path)
    pq.write_table(table, part, row_group_size=_ROWS_PER_GROUP)
    _settle(part, path)


def write_durably(path: Path, data: bytes) -> None:
    """Write a file that appears under its name complete and on the disk."""
    part = _part(path)
    part.write_bytes(data)
    _settle(part, path)


def _part(path: Path) -> Path:
    # A worker whose build was killed may still be writing when the next one begins: each has a name of its own.
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def _settle(part: Path, path: Path) -> None:
    _flush(part)
    part.replace(path)
    _flush(path.parent)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_parts(folder: Path) -> None:
    """Remove what killed runs left half written."""
    for part in folder.glob(".*.part"):
        part.unlink(missing_ok=True)
