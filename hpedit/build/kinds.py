"""The kinds of records that travel between stages, and their columns on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import pyarrow as pa
from datasets import Features, List, Value

from hpedit.build.photo import PHOTO_FEATURES, Photo, photo_of, photo_row
from hpedit.cases import Case, Provenance, case_of
from hpedit.records import CASE_FEATURES, case_row

T = TypeVar("T")


@dataclass(frozen=True)
class Kind(Generic[T]):
    """How a record is kept in Parquet.

    Attributes:
        name: for messages, in the plural.
        id: the column of its id.
        features: its columns.
        to_row, of_row: there and back.
    """

    name: str
    id: str
    features: Features
    to_row: Callable[[T], dict[str, Any]]
    of_row: Callable[[Mapping[str, Any]], T]

    def table(self, records: Iterable[T]) -> pa.Table:
        """Return records as a table."""
        return pa.Table.from_pylist([self.to_row(r) for r in records], schema=self.features.arrow_schema)

    def records(self, table: pa.Table) -> list[T]:
        """Return the records of a table; columns that a stage added are left out."""
        return [self.of_row(row) for row in table.select(list(self.features)).to_pylist()]


@dataclass(frozen=True)
class Item:
    """One picture or row that collecting will read.

    Attributes:
        item_id: unique in a build; becomes the photo's id.
        source: number of the source it belongs to.
        key: what it is called there: a path relative to the folder, or the number of a row.
        stamp: changes when the picture does: the length of its file.
        provenance: as its source has it.
        categories: MS-COCO categories that its source names.
    """

    item_id: str
    source: int
    key: str
    stamp: str = ""
    provenance: Provenance = Provenance()
    categories: tuple[str, ...] = ()


def _item_of(row: Mapping[str, Any]) -> Item:
    provenance, categories = Provenance(**row["provenance"]), tuple(row["categories"])
    return Item(**{**row, "provenance": provenance, "categories": categories})


def _case_of(row: Mapping[str, Any]) -> Case:
    return case_of(row, Path(), "")


_TEXT = Value("string")
ITEMS: Kind[Item] = Kind(
    "items",
    "item_id",
    Features(
        {
            **{"item_id": _TEXT, "source": Value("int32"), "key": _TEXT, "stamp": _TEXT},
            "provenance": {"dataset": _TEXT, "row": _TEXT, "license": _TEXT},
            "categories": List(_TEXT),
        }
    ),
    asdict,
    _item_of,
)
PHOTOS: Kind[Photo] = Kind("photos", "photo_id", PHOTO_FEATURES, photo_row, photo_of)
CASES: Kind[Case] = Kind("cases", "case_id", CASE_FEATURES, case_row, _case_of)
