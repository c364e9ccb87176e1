"""The contract of a stage of a build. A stage is a frozen dataclass of its own settings, which are its config.

A build is a chain of stages. Each reads all records of the stage before and leaves its own behind in chunks, which
are committed one by one (hpedit.build.chunks), so that a build killed at any moment goes on where it was:

- a MapStage turns one record into any number of records, or says why it could not: collecting, annotating, editing,
  scoring. It sees a batch of whole records, pictures included, and never the data set.
- a ReduceStage decides over a few light columns of the whole data set which records stay: removing duplicates,
  balancing, filtering. It sees no pictures, so that memory stays flat.
- an ExportStage ends the chain: it writes the data set that the user asked for.

All settings enter the stage's fingerprint (hpedit.build.fingerprint), but for those that change no result, such as
``workers``. ``version`` is raised whenever the code of a stage changes what it makes of the same settings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

import pyarrow as pa

from hpedit.build.kinds import Kind

In = TypeVar("In")
Out = TypeVar("Out")
In_contra = TypeVar("In_contra", contravariant=True)
Out_co = TypeVar("Out_co", covariant=True)


@dataclass(frozen=True)
class Failure:
    """Why a record came to nothing. It is quarantined under this reason; records alike should have equal ones."""

    reason: str


Outcome = Sequence[Out] | Failure
# One outcome for each record, in order. An empty outcome means that the record was rightly left without offspring.
# ConnectionError stops the build (nothing can be had); after any other error the records are tried one by one, and
# those that raise again are quarantined.
Work = Callable[[Sequence[In]], Sequence[Outcome[Out]]]


@dataclass(frozen=True)
class Workers:
    """Who does a stage's work, and in what portions. Changes no result.

    Attributes:
        count: processes that work at the same time, each on a chunk of its own with a model of its own; 1 works in
            the build's own process.
        gpus: share of a GPU that each of them asks for: 0, 1, or a fraction where several share one.
        batch_size: records that a worker is given at once.
    """

    count: int = 1
    gpus: float = 0.0
    batch_size: int = 16

    def __post_init__(self) -> None:
        if self.count < 1 or self.batch_size < 1 or not 0.0 <= self.gpus <= 1.0:
            raise ValueError(
                "workers: expected count >= 1, batch_size >= 1 and gpus in [0, 1], "
                f"got {self.count}, {self.batch_size} and {self.gpus}"
            )


@runtime_checkable
class MapStage(Protocol[In_contra, Out_co]):
    """A stage that works on records one by one. An instance travels to the workers, so it must not hold a model.

    Attributes:
        name: of the stage, as in its folder and in messages.
        version: of its code.
        reads, writes: the kinds of its records.
        chunk_rows: records read for a chunk. At most one chunk a worker is done again after a kill, so a stage that is
            dear has small chunks. Changing it is changing a setting.
        workers: who does the work.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    reads: ClassVar[Kind]
    writes: ClassVar[Kind]

    @property
    def chunk_rows(self) -> int: ...
    @property
    def workers(self) -> Workers: ...

    def check(self) -> None:
        """Raise ConnectionError or ValueError if the stage cannot work at all. Called before its first chunk."""
        ...

    def open(self) -> Work[In_contra, Out_co]:
        """Load what the work needs, and return the work. Called once in each worker."""
        ...


@runtime_checkable
class ReduceStage(Protocol):
    """A stage that keeps some of the records, of whichever kind it is given.

    Attributes:
        name, version: as of a MapStage.
        chunk_rows: records read for a chunk.
        columns: what it decides by: Parquet column paths, such as "sha256", "scores" or
            "candidates.list.element.cand_id". The id is always there; pictures never should be.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    columns: ClassVar[tuple[str, ...]]

    @property
    def chunk_rows(self) -> int: ...

    def keep(self, light: pa.Table) -> Kept:
        """Decide which records stay, from ``columns`` and the id of all of them. Deterministic.

        The id is the first column of ``light``; the rows are in the data set's order.
        """
        ...


@dataclass(frozen=True)
class Kept:
    """What a ReduceStage decided.

    Attributes:
        rows: which rows of the light table stay; whatever their order here, records stay in theirs.
        columns: an array with a value for each of ``rows``, by the name of a column that the records get with it, or
            whose values it replaces.
        notes: JSON-able facts for the build's report, such as counts by reason or the shares achieved.
    """

    rows: Sequence[int]
    columns: Mapping[str, pa.Array] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)

    def table(self, ids: pa.ChunkedArray, id_column: str) -> pa.Table:
        """Return the ids that stay and the new columns; ``ids`` are those of the light table."""
        return pa.table({id_column: ids.take(pa.array(self.rows, pa.int64())), **self.columns})


class Records(Protocol):
    """All records that a stage left behind, in order."""

    @property
    def kind(self) -> Kind: ...

    def __len__(self) -> int: ...

    def light(self, columns: Sequence[str]) -> pa.Table:
        """Return some columns (Parquet paths) of all records, the id first."""
        ...

    def tables(self, rows: int) -> Iterator[pa.Table]:
        """Yield the records, ``rows`` at a time, with all columns, also those that a ReduceStage added."""
        ...


@runtime_checkable
class ExportStage(Protocol):
    """The stage that ends a chain: it writes a folder for the user."""

    name: ClassVar[str]
    version: ClassVar[int]

    def export(self, records: Records, recipe: Recipe, folder: Path) -> dict[str, Any]:
        """Write everything into ``folder``, which is new and empty; it gets its name when this returns.

        Returns JSON-able facts for the build's report.
        """
        ...


@dataclass(frozen=True)
class StageSummary:
    """What a finished stage did.

    Attributes:
        name: of the stage.
        records_in: records read.
        records_out: records that they became.
        quarantined: records read that failed.
        left_out: records read that rightly became nothing.
        seconds: of work, over all workers and runs of the build.
        reasons: how many records each reason cost, the most frequent first.
        notes: the stage's own facts.
        settings: that it was done with.
    """

    name: str
    records_in: int
    records_out: int
    quarantined: int
    left_out: int
    seconds: float
    reasons: dict[str, int]
    notes: dict[str, Any]
    settings: Any


@dataclass(frozen=True)
class Recipe:
    """How the records came to be: the finished stages in order."""

    stages: tuple[StageSummary, ...]
