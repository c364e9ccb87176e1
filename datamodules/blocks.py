"""Blocks of consecutive records of a streamed data set, screened as they come, and what was wrong with the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from datamodules.entries import Entry
from datamodules.screening import Unsuited, warn
from hpedit.cases import Case, case_of
from hpedit.shards import Shards

Place = tuple[int, int]  # (shard, number of the record in it)
_SHOWN = 5
_FEW = 100  # of so few records, a bad share says little


@dataclass(frozen=True)
class StreamedCase:
    """A good record on its way to a worker, pictures still encoded."""

    place: Place
    entry: Entry
    case: Case


@dataclass
class StreamFaults:
    """Counts what is set aside, and stops where it is too much.

    Attributes:
        name: what messages call the data set.
        max_bad_share: largest share of faulty records.
        seen, bad, unsuited: records so far, each counted once.
    """

    name: str
    max_bad_share: float
    seen: int = 0
    bad: int = 0
    unsuited: int = 0

    def note(self, place: Place, reason: ValueError) -> None:
        """Count a record that is set aside; the first faulty ones are named."""
        if isinstance(reason, Unsuited):
            self.unsuited += 1
            return
        self.bad += 1
        if self.bad <= _SHOWN:
            rest = " Further ones are counted, not named." if self.bad == _SHOWN else ""
            warn(f"{self.name}: {label(place)} is set aside: {reason}.{rest}")

    def check(self, complete: bool) -> None:
        """Raise ValueError where too many of the records were faulty. ``complete``: all there are have been seen."""
        if self.bad > self.max_bad_share * self.seen and (complete or self.seen >= _FEW):
            raise ValueError(
                f"{self}. More are faulty than --data.max_bad_share {self.max_bad_share:g} allows."
            )

    def __str__(self) -> str:
        return f"{self.name}: of {self.seen} records so far, {self.bad} are faulty and {self.unsuited} are not used"


class BlockReader:
    """Reads blocks in any order; the next of a shard costs nothing extra, and the last two are kept in memory.

    Args:
        shards: the data set.
        describe: returns the entry of (case, row); Unsuited or another ValueError sets the record aside.
        rows: records in a block.
        faults: told of what is set aside.
    """

    def __init__(
        self, shards: Shards, describe: Callable[[Case, int], Entry], rows: int, faults: StreamFaults
    ) -> None:
        self.shards, self.describe, self.rows, self.faults = shards, describe, rows, faults
        self._kept: dict[Place, list[StreamedCase | None]] = {}
        self._open: tuple[Place, Iterator[Mapping[str, Any]]] | None = None
        self._counted: set[Place] = set()

    def block(self, shard: int, number: int) -> list[StreamedCase | None]:
        """Return the records of a block in order, None for what is set aside; empty behind the end of the shard."""
        key = shard, number
        if key not in self._kept:
            block = self._read(key)
            self._kept = dict([*self._kept.items(), (key, block)][-2:])
        return self._kept[key]

    def case(self, place: Place) -> StreamedCase:
        """Return the good record at a place. Raises ValueError where there is none."""
        shard, row = place
        block = self.block(shard, row // self.rows)
        found = block[row % self.rows] if row % self.rows < len(block) else None
        if found is None:
            raise ValueError(
                f"{self.shards.name}: {label(place)} is gone, so the run cannot go on where it stopped"
            )
        return found

    def _read(self, key: Place) -> list[StreamedCase | None]:
        shard, number = key
        first = number * self.rows
        if self._open is None or self._open[0] != key:
            self._open = key, self.shards.rows(shard, first)
        rows = self._open[1]
        block = [self._screened((shard, first + i), row) for i, row in enumerate(islice(rows, self.rows))]
        self._open = (shard, number + 1), rows
        self._counted.add(key)
        return block

    def _screened(self, place: Place, row: Mapping[str, Any]) -> StreamedCase | None:
        fresh = (place[0], place[1] // self.rows) not in self._counted
        self.faults.seen += fresh
        try:
            case = case_of(row, self.shards.root, f"shard-{place[0]:05d}-row-{place[1]:06d}")
            entry = self.describe(case, place[1])
        except ValueError as reason:
            if fresh:
                self.faults.note(place, reason)
            return None
        # Edits and what was said of them can weigh more than the case, and are of no use from here on.
        return StreamedCase(place, entry, replace(case, candidates=(), scores=(), humans=()))


def label(place: Place) -> str:
    """Return what messages call a streamed record."""
    return f"record {place[1]} of shard {place[0]}"
