"""One schema for records on disk: Parquet with embedded pictures, which ``datasets.load_dataset`` reads in one line.

A folder with a metadata.jsonl or metadata.csv of the same names, whose pictures are paths relative to it, is read
too (hpedit.rows).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, fields
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features, Image, List, Value

from hpedit.cases import Case, Pair, case_of
from hpedit.pictures import Picture
from hpedit.rows import Rows, open_rows, plain
from hpedit.tasks import canonical_task

_TEXT, _REAL, _WHOLE = Value("string"), Value("float64"), Value("int64")
_CANDIDATE = {"cand_id": _TEXT, "image": Image(), "model": _TEXT, "seed": _WHOLE, "params": _TEXT}
_SCORE = {
    **{"cand_id": _TEXT, "scorer": _TEXT, "prompt_version": _TEXT, "read": _TEXT},
    **{"value": _REAL, "dist": List(_REAL), "mass": _REAL, "ts": _REAL},
}
_HUMAN = {"cand_id": _TEXT, "rater": _TEXT, "dim": _TEXT, "value": _REAL, "ts": _REAL, "ms": _WHOLE}

CASE_FEATURES = Features(
    {
        "case_id": _TEXT,
        "task": _TEXT,
        "instruction": _TEXT,
        "instruction_lang": _TEXT,
        "requirement": _TEXT,
        "source": Image(),
        "references": List(Image()),
        "target": Image(),
        "categories": List(_TEXT),
        "provenance": {"dataset": _TEXT, "row": _TEXT, "license": _TEXT},
        "candidates": List(_CANDIDATE),
        "scores": List(_SCORE),
        "humans": List(_HUMAN),
        "weight": _REAL,
    }
)
PAIR_FEATURES = Features({**CASE_FEATURES, "preferred": Image(), "rejected": Image()})
# Small row groups: the reader of a few rows, and the hub's viewer, need not decode a gigabyte.
_ROWS_PER_GROUP = 64


def write_cases(path: str | os.PathLike[str], cases: Iterable[Case]) -> int:
    """Write cases to one Parquet file, pictures embedded, and return how many.

    Streams: only a few dozen cases are in memory. The file appears under its name when it is complete.
    Raises ValueError that names the case on an unknown task.
    """
    return _write(Path(path), CASE_FEATURES, (case_row(case) for case in cases))


def write_pairs(path: str | os.PathLike[str], pairs: Iterable[Pair]) -> int:
    """Write preference pairs: the columns of a case, and ``preferred`` and ``rejected``. See write_cases."""
    return _write(Path(path), PAIR_FEATURES, map(pair_row, pairs))


def rewrite_cases(
    path: str | os.PathLike[str], data: Cases, change: Callable[[int, Case], Case]
) -> dict[str, str]:
    """Write a data set anew, each case changed by ``change(index, case)``; columns that no case knows are kept.

    Returns, by its label, why each record that cannot be written whole was left out. See write_cases.
    """
    left_out: dict[str, str] = {}

    def rows() -> Iterator[dict[str, Any]]:
        for index in range(len(data)):
            try:
                row = case_row(change(index, data[index]))
            except ValueError as error:
                left_out[data.label(index)] = str(error)
            else:
                yield data.unknown(index) | row

    _write(Path(path), Features({**CASE_FEATURES, **data.features}), rows())
    return left_out


class Cases(Sequence[Case]):
    """The cases of a data set, each built when it is asked for, its pictures left where they are.

    Indexing raises ValueError that says what is wrong with the record (BadPicture: that it has no picture).
    """

    def __init__(self, rows: Rows, name: str) -> None:
        self._rows = rows
        self.name = name
        self.columns = rows.columns
        self.features = Features({k: v for k, v in rows.features.items() if k not in CASE_FEATURES})
        self._check_columns()

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Case:  # type: ignore[override]  # one record at a time is all anyone needs
        return case_of(self._rows[index], self._rows.root, f"row-{index:06d}")

    def label(self, index: int) -> str:
        """Return what messages call the record at ``index``: its number, and its id or file where it has one."""
        try:
            row = self._rows[index]
        except ValueError:
            row = {}
        known = row.get("case_id") or row.get("file_name")
        return f"record {index}" + (f" ({known})" if known else "")

    def unknown(self, index: int) -> dict[str, Any]:
        """Return the columns of ``features`` of the record at ``index``, pictures and all."""
        row = self._rows[index]
        return {name: plain(row[name]) for name in self.features}

    def pair(self, index: int) -> Pair:
        """Return the pair at ``index`` of a data set with the columns ``preferred`` and ``rejected``."""
        row, root = self._rows[index], self._rows.root
        preferred, rejected = (Picture.of(row.get(name), root) for name in ("preferred", "rejected"))
        return Pair(self[index], preferred, rejected)

    def _check_columns(self) -> None:
        if not len(self):
            raise ValueError(f"{self.name}: the data set is empty")
        for wanted in ({"task"}, {"instruction"}, {"source", "file_name"}):
            if not wanted & self.columns:
                raise ValueError(
                    f"{self.name}: expected a column {' or '.join(map(repr, sorted(wanted)))}, "
                    f"got the columns {', '.join(sorted(self.columns))}"
                )


def read_cases(path: str, name: str = "data") -> Cases:
    """Open a data set of cases.

    Args:
        path: a Parquet file, a glob of them, a folder of them (searched to any depth; of a published data set its
            train split), a metadata.jsonl or metadata.csv or a folder that holds one, or a data set on the hub:
            "owner/name" (its train split) or "owner/name:split".
        name: what errors call it, such as the flag it came from.

    Raises ValueError that starts with ``name`` where there is nothing to read, or a column is missing.
    """
    where = f"{name}={path}"
    return Cases(open_rows(path, where), where)


def _cell(picture: Picture | None) -> dict[str, Any] | None:
    return None if picture is None else {"bytes": picture.read(), "path": None}


def case_row(case: Case) -> dict[str, Any]:
    """Return the row of CASE_FEATURES that holds a case. Raises ValueError that names it on an unknown task."""
    flat = {f.name: getattr(case, f.name) for f in fields(case)}
    return flat | {
        "task": canonical_task(case.task, f"case {case.case_id}"),
        "source": _cell(case.source),
        "references": [_cell(r) for r in case.references],
        "target": _cell(case.target),
        "provenance": asdict(case.provenance),
        "candidates": [{**vars(c), "image": _cell(c.image)} for c in case.candidates],
        "scores": [asdict(s) for s in case.scores],
        "humans": [asdict(h) for h in case.humans],
    }


def pair_row(pair: Pair) -> dict[str, Any]:
    """Return the row of PAIR_FEATURES that holds a pair. See case_row."""
    return {**case_row(pair.case), "preferred": _cell(pair.preferred), "rejected": _cell(pair.rejected)}


def _write(path: Path, features: Features, rows: Iterator[dict[str, Any]]) -> int:
    schema: pa.Schema = features.arrow_schema
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    count = 0
    try:
        with pq.ParquetWriter(part, schema) as writer:
            while group := list(islice(rows, _ROWS_PER_GROUP)):
                writer.write_table(pa.Table.from_pylist(group, schema=schema))
                count += len(group)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return count
