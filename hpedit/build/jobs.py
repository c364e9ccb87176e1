"""How a chunk is made: of a stage that maps records, and of one that keeps some of them."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from datasets import Features

from hpedit.build.chunks import ChunkFolder, ChunkStats, ParquetRecords, Quarantined
from hpedit.build.masking import masked
from hpedit.build.stage import Failure, MapStage, Outcome, Work

_log = logging.getLogger(__name__)


class Job(Protocol):
    """The work of a stage, cut into chunks. It travels to the workers, which ``make`` chunk after chunk."""

    def make(self, number: int) -> ChunkStats:
        """Make and commit a chunk. Raises ConnectionError or ValueError, with nothing committed, where it cannot."""
        ...


@dataclass(frozen=True)
class MapJob:
    """Chunks of a MapStage.

    Attributes:
        stage: whose work it is.
        source: the records that it reads.
        folder: where chunks are committed.
        max_failed: share of a chunk's records, in [0, 1], that may be quarantined.
    """

    stage: MapStage
    source: ParquetRecords
    folder: ChunkFolder
    max_failed: float

    def make(self, number: int) -> ChunkStats:
        began, stage = time.monotonic(), self.stage
        table = self.source.slice(number * stage.chunk_rows, (number + 1) * stage.chunk_rows)
        ids = table.column(stage.reads.id).to_pylist()
        outcomes = [self._rows(o) for batch in self._batches(table) for o in self._outcomes(batch)]
        bad = [
            Quarantined(i, stage.name, o.reason)
            for i, o in zip(ids, outcomes, strict=True)
            if isinstance(o, Failure)
        ]
        self._expect_most_went_well(number, len(ids), bad)
        rows = [row for o in outcomes if not isinstance(o, Failure) for row in o]
        made = pa.Table.from_pylist(rows, schema=stage.writes.features.arrow_schema)
        left_out = sum(1 for o in outcomes if not isinstance(o, Failure) and not o)
        stats = ChunkStats(len(ids), len(made), len(bad), left_out, round(time.monotonic() - began, 3))
        # What is quarantined is published; what stops the build is for the one at the terminal.
        self.folder.commit(number, made, [replace(q, reason=masked(q.reason)) for q in bad], stats)
        return stats

    @cached_property
    def _work(self) -> Work:
        return self.stage.open()

    def _batches(self, table: pa.Table) -> Iterator[list[Any]]:
        size = self.stage.workers.batch_size
        for start in range(0, len(table), size):
            yield self.stage.reads.records(table.slice(start, size))

    def _outcomes(self, batch: Sequence[Any]) -> Sequence[Outcome]:
        try:
            return self._checked(batch)
        except ConnectionError:
            raise
        except Exception as error:  # whatever a model or a picture may do to one record, the others go on
            _log.debug("batch of %d failed, trying its records one by one", len(batch), exc_info=error)
            return [self._alone(record) for record in batch]

    def _alone(self, record: Any) -> Outcome:
        try:
            return self._checked([record])[0]
        except ConnectionError:
            raise
        except Exception as error:
            return Failure(f"{type(error).__name__}: {error}")

    def _checked(self, batch: Sequence[Any]) -> Sequence[Outcome]:
        outcomes = self._work(batch)
        if len(outcomes) != len(batch):
            raise RuntimeError(f"{self.stage.name} gave {len(outcomes)} outcomes for {len(batch)} records")
        return outcomes

    def _rows(self, outcome: Outcome) -> list[dict[str, Any]] | Failure:
        if isinstance(outcome, Failure):
            return outcome
        try:
            return [self.stage.writes.to_row(record) for record in outcome]
        except ValueError as error:  # a picture that cannot be read after all
            return Failure(str(error))

    def _expect_most_went_well(self, number: int, count: int, bad: Sequence[Quarantined]) -> None:
        # A few records at the end of the data set say nothing about the rest, unless they are the data set.
        judged = count in (self.stage.chunk_rows, len(self.source))
        if not judged or len(bad) <= self.max_failed * count:
            return
        reasons = [q.reason for q in bad]
        commonest = max(set(reasons), key=reasons.count)
        raise ValueError(
            f"stage {self.stage.name}: {len(bad)} of the {count} records of chunk {number} failed, most often with "
            f"{commonest!r}; the chunk was not committed. Repair that and run the same command again, or raise "
            f"engine.max_failed, which is {self.max_failed}"
        )


@dataclass(frozen=True)
class KeepJob:
    """Chunks of a ReduceStage, whose decision is a file.

    Attributes:
        source: the records that it reads.
        kept: Parquet file of the ids that stay and the columns that they get.
        folder: where chunks are committed.
        chunk_rows: records read for a chunk.
    """

    source: ParquetRecords
    kept: Path
    folder: ChunkFolder
    chunk_rows: int

    def make(self, number: int) -> ChunkStats:
        began = time.monotonic()
        table = self.source.slice(number * self.chunk_rows, (number + 1) * self.chunk_rows)
        made = self._filtered(table)
        left_out = len(table) - len(made)
        stats = ChunkStats(len(table), len(made), 0, left_out, round(time.monotonic() - began, 3))
        self.folder.commit(number, made, (), stats)
        return stats

    @cached_property
    def _table(self) -> pa.Table:
        return pq.read_table(self.kept).replace_schema_metadata()

    def _filtered(self, table: pa.Table) -> pa.Table:
        name = self.source.kind.id
        wanted = pc.SetLookupOptions(value_set=self._table.column(name))
        found = pc.call_function("index_in", [table.column(name)], wanted)
        stays = found.is_valid()
        made, rows = table.filter(stays), self._table.take(found.filter(stays))
        for column in self._table.column_names[1:]:
            made = _with_column(made, column, rows.column(column))
        return made.replace_schema_metadata(_features(made, self.source).arrow_schema.metadata)


def _with_column(table: pa.Table, name: str, values: pa.ChunkedArray) -> pa.Table:
    place = table.schema.get_field_index(name)
    return table.append_column(name, values) if place < 0 else table.set_column(place, name, values)


def _features(table: pa.Table, source: ParquetRecords) -> Features:
    """Return the columns as ``datasets`` knows them: pictures stay pictures, an added column is what it is."""
    added = [field for field in table.schema if field.name not in source.kind.features]
    return Features({**source.kind.features, **Features.from_arrow_schema(pa.schema(added))})


def chunk_count(records: int, chunk_rows: int) -> int:
    """Return how many chunks ``records`` make."""
    return -(-records // chunk_rows)
