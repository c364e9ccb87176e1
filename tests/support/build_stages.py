"""Stages without pictures or models, for tests of the chain: items become items."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from hpedit.build.kinds import ITEMS, Item, Kind
from hpedit.build.stage import Failure, Kept, Outcome, Recipe, Records, Work, Workers


@dataclass(frozen=True)
class Twice:
    """Makes two items of one. Items whose key is a multiple of ``bad_every`` fail; of ``raise_every``, raise.

    Those whose keys are written in the file ``down`` fail, too. Each call of the work appends the ids that it was
    given to ``ledger``, as a paid server would count them.
    """

    ledger: str = ""
    down: str = ""
    bad_every: int = 0
    raise_every: int = 0
    suffix: str = "ab"
    seconds: float = 0.0
    chunk_rows: int = 10
    workers: Workers = Workers(batch_size=4)
    name: ClassVar[str] = "twice"
    version: ClassVar[int] = 1
    reads: ClassVar[Kind[Item]] = ITEMS
    writes: ClassVar[Kind[Item]] = ITEMS

    def check(self) -> None:
        if self.suffix == "unreachable":
            raise ConnectionError("nobody answers")

    def open(self) -> Work[Item, Item]:
        return self._work

    def _work(self, items: Sequence[Item]) -> list[Outcome[Item]]:
        if self.ledger:
            with Path(self.ledger).open("a") as file:
                file.write("".join(f"{item.item_id}\n" for item in items))
        time.sleep(self.seconds * len(items))
        return [self._one(item) for item in items]

    def _one(self, item: Item) -> Outcome[Item]:
        number = int(item.key)
        if self.down and item.key in Path(self.down).read_text().split():
            return Failure("down")
        if self.raise_every and number % self.raise_every == 0:
            raise KeyError(f"no {number}")
        if self.bad_every and number % self.bad_every == 0:
            return Failure("a multiple")
        return [replace(item, item_id=f"{item.item_id}{letter}") for letter in self.suffix]


@dataclass(frozen=True)
class Thrice(Twice):
    """A stage of another name."""

    name: ClassVar[str] = "thrice"


@dataclass(frozen=True)
class KeepOdd:
    """Keeps the items with odd keys, and numbers them in a column of their own."""

    remainder: int = 1
    chunk_rows: int = 7
    name: ClassVar[str] = "odd"
    version: ClassVar[int] = 1
    columns: ClassVar[tuple[str, ...]] = ("key",)

    def keep(self, light: pa.Table) -> Kept:
        rows = [i for i, key in enumerate(light.column("key").to_pylist()) if int(key) % 2 == self.remainder]
        return Kept(rows, {"rank": pa.array(rows, pa.int64())}, {"kept": len(rows)})


@dataclass(frozen=True)
class Print:
    """Exports the ids, one a line."""

    name: ClassVar[str] = "print"
    version: ClassVar[int] = 1

    def export(self, records: Records, recipe: Recipe, folder: Path) -> dict[str, Any]:
        ids = [i for table in records.tables(5) for i in table.column("item_id").to_pylist()]
        (folder / "ids.txt").write_text("\n".join(ids))
        return {"stages": [summary.name for summary in recipe.stages]}


def numbered_items(count: int) -> list[Item]:
    return [Item(f"i{n:04d}", 0, str(n)) for n in range(count)]
