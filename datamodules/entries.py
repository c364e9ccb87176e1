"""What stays in memory of a data set's good records: numbers in columns, 53 bytes a record."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hpedit.tasks import TASKS

Bucket = tuple[tuple[str, ...], bool]
_ROW = np.dtype(
    [
        *(("row", "i8"), ("key", "i8"), ("task", "u1"), ("bucket", "u4"), ("picture", "i8")),
        *(("weight", "f8"), ("score", "f8"), ("chosen", "i4", 2)),
    ]
)
_NO_PAIR = (-1, -1)


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of a good record without reading it again.

    Attributes:
        row: its number in the data set.
        key: 63 bits that stand for its id.
        task: its canonical task.
        bucket: the aspect of each picture, and whether there is a target.
        picture: 63 bits that tell source pictures apart.
        weight: how often it is to be drawn, relative to others.
        score: how well it is solved already, None where that is not known.
        chosen: the candidates that make a pair, (preferred, rejected), where the pair comes from scores.
    """

    row: int
    key: int
    task: str
    bucket: Bucket
    picture: int
    weight: float = 1.0
    score: float | None = None
    chosen: tuple[int, int] | None = None


@dataclass(frozen=True)
class Entries(Sequence[Entry]):
    """Entries in a table, built one by one and read by column.

    Attributes:
        table: a row for each.
        buckets: the bucket that each code of the column "bucket" stands for.
    """

    table: np.ndarray
    buckets: dict[int, Bucket]

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> Entry:  # type: ignore[override]  # one at a time is all anyone needs
        row, key, task, bucket, picture, weight, score, chosen = self.table[index].tolist()
        return Entry(
            *(row, key, TASKS[task], self.buckets[bucket], picture, weight),
            score=None if math.isnan(score) else score,
            chosen=None if tuple(chosen) == _NO_PAIR else tuple(chosen),
        )

    def only(self, rows: Sequence[int] | np.ndarray) -> Entries:
        """Return the entries at ``rows``, a list or array of their places, or of a truth value for each."""
        return replace(self, table=self.table[np.asarray(rows) if len(rows) else slice(0)])

    @property
    def tasks(self) -> list[str]:
        return [TASKS[code] for code in self.table["task"].tolist()]


class EntryWriter:
    """Takes entries one by one; pages of the table that no entry was written to cost nothing.

    Args:
        most: how many there can be.
    """

    def __init__(self, most: int) -> None:
        self._table = np.empty(most, _ROW)
        self._codes: dict[Bucket, int] = {}
        self._count = 0

    def add(self, entry: Entry) -> None:
        code = self._codes.setdefault(entry.bucket, len(self._codes))
        score = math.nan if entry.score is None else entry.score
        self._table[self._count] = (
            *(entry.row, entry.key, TASKS.index(entry.task), code, entry.picture),
            *(entry.weight, score, entry.chosen or _NO_PAIR),
        )
        self._count += 1

    def entries(self) -> Entries:
        """Return all that were added."""
        return Entries(self._table[: self._count], {code: bucket for bucket, code in self._codes.items()})


def repeated(keys: np.ndarray) -> list[tuple[int, int]]:
    """Return the place of every key that came before, ascending, with the place where it first came."""
    _, first, which = np.unique(keys, return_index=True, return_inverse=True)
    again = np.flatnonzero(first[which] != np.arange(len(keys)))
    return [(int(i), int(first[which[i]])) for i in again]
