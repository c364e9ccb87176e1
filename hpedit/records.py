"""One schema for records on disk: Parquet with embedded pictures, which ``datasets.load_dataset`` reads in one line.

A folder with a metadata.jsonl or metadata.csv of the same names, whose pictures are paths relative to it, is read
too. Reading is lazy: a record costs no copy of its pictures.
"""

from __future__ import annotations

import csv
import glob
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from functools import cache, cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features, Image, List, Value

from hpedit.cases import Candidate, Case, HumanRating, Pair, Provenance, ScoreRecord, case_of
from hpedit.pictures import Picture
from hpedit.published import training_files
from hpedit.tasks import canonical_task

__all__ = [
    "CASE_FEATURES",
    "PAIR_FEATURES",
    "Candidate",
    "Case",
    "Cases",
    "HumanRating",
    "Pair",
    "Picture",
    "Provenance",
    "Rows",
    "ScoreRecord",
    "case_row",
    "hub_name",
    "local_files",
    "open_rows",
    "pair_row",
    "read_cases",
    "rewrite_cases",
    "write_cases",
    "write_pairs",
]

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


class Rows(Protocol):
    """Records as dicts by column name, pictures not yet read.

    Attributes:
        root: where relative paths start.
        features: types of the columns that a case does not know, where the file says them.
    """

    root: Path
    columns: frozenset[str]
    features: Features

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Mapping[str, Any]: ...


class Cases(Sequence[Case]):
    """The cases of a data set, each built when it is asked for, its pictures left where they are.

    Indexing raises ValueError that says what is wrong with the record (BadPicture: that it has no picture).
    """

    def __init__(self, rows: Rows, name: str) -> None:
        self._rows = rows
        self.name = name
        self.columns = rows.columns
        self.features = rows.features
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
        return {name: _plain(row[name]) for name in self.features}

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


def open_rows(path: str, where: str) -> Rows:
    """Open the rows of any data set, whatever its columns; see read_cases for ``path``.

    Raises ValueError that starts with ``where`` where there is nothing to read.
    """
    files = local_files(path)
    if not files:
        repo, split = hub_name(path, where)
        return _ArrowRows(_load(where, repo, None, split), Path())
    if files[0].endswith((".jsonl", ".csv")):
        return _FileRows(Path(files[0]))
    return _ArrowRows(_load(where, "parquet", files, "train"), Path(files[0]).parent)


def local_files(path: str) -> list[str]:
    """Return the files of a data set on this machine: its metadata.jsonl or .csv alone, or its Parquet files.

    Of a published folder these are the files of its train split.
    """
    local = Path(path).expanduser()
    if not local.is_dir():
        return [str(local)] if local.exists() else sorted(glob.glob(str(local), recursive=True))
    for table in (local / "metadata.jsonl", local / "metadata.csv"):
        if table.exists():
            return [str(table)]
    if (published := training_files(local)) is not None:
        return published
    return sorted(str(file) for file in local.rglob("*.parquet") if not file.name.startswith("."))


def hub_name(path: str, where: str) -> tuple[str, str]:
    """Return (repository, split) of "owner/name[:split]". Raises ValueError where ``path`` is no such name."""
    repo, _, split = path.partition(":")
    odd = repo.count("/") != 1 or repo.startswith((".", "/", "~")) or any(c in repo for c in "*?[")
    if odd or Path(path).expanduser().is_dir():
        raise ValueError(f"{where}: expected Parquet files, a metadata.jsonl or a metadata.csv, found none")
    return repo, split or "train"


def _load(where: str, kind: str, files: list[str] | None, split: str) -> datasets.Dataset:
    try:
        dataset = datasets.load_dataset(kind, data_files=files, split=split)
    except Exception as error:  # datasets, hub and pyarrow errors share no base class
        cause = error.__cause__ or error
        raise ValueError(
            f"{where}: could not be read as a data set: {type(cause).__name__}: {cause}"
        ) from error
    assert isinstance(dataset, datasets.Dataset)
    return dataset


class _ArrowRows:
    """Rows of a memory-mapped Arrow table."""

    def __init__(self, dataset: datasets.Dataset, root: Path) -> None:
        self.root = root
        self._dataset = dataset
        self.columns = frozenset(dataset.column_names)
        self.features = Features({k: v for k, v in dataset.features.items() if k not in CASE_FEATURES})

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {name: _lazy(column[index]) for name, column in self._chunks.items()}

    @cached_property
    def _chunks(self) -> dict[str, pa.ChunkedArray]:
        return {name: self._dataset.data.column(name) for name in sorted(self.columns)}

    def __getstate__(self) -> dict[str, Any]:
        # The data set travels to a spawned worker as a file name; its chunks would travel as gigabytes.
        return {name: value for name, value in vars(self).items() if name != "_chunks"}


def _lazy(scalar: Any) -> Any:
    """Turn an Arrow scalar into Python objects, but bytes into a buffer on the memory map."""
    if not (scalar.is_valid and _holds_bytes(scalar.type)):
        return scalar.as_py()
    if isinstance(scalar, pa.StructScalar):
        return {name: _lazy(value) for name, value in scalar.items()}
    if isinstance(scalar, (pa.ListScalar, pa.LargeListScalar)):
        return [_lazy(value) for value in scalar.values]
    return scalar.as_buffer()


@cache
def _holds_bytes(kind: pa.DataType) -> bool:
    nested = [kind.field(i).type for i in range(kind.num_fields)]
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or any(map(_holds_bytes, nested))


def _plain(value: Any) -> Any:
    """Undo what _lazy leaves: buffers become bytes."""
    if isinstance(value, pa.Buffer):
        return value.to_pybytes()
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list) else value


class _FileRows:
    """Rows of a metadata.jsonl or metadata.csv; its pictures stay on disk. A line that is no JSON object costs only
    itself, and an empty cell of a CSV is a field that is not there."""

    def __init__(self, file: Path) -> None:
        self.root = file.parent
        self.features = Features()
        with file.open(encoding="utf-8-sig", newline="") as lines:
            self._rows: list[dict[str, Any] | ValueError]
            if file.suffix == ".csv":
                self._rows = [{k: v for k, v in row.items() if k and v} for row in csv.DictReader(lines)]
            else:
                self._rows = [_parse(line, number) for number, line in enumerate(lines, 1) if line.strip()]
        self.columns = frozenset(name for row in self._rows if isinstance(row, dict) for name in row)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        row = self._rows[index]
        if isinstance(row, ValueError):
            raise row
        return row


def _parse(line: str, number: int) -> dict[str, Any] | ValueError:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        return ValueError(f"line {number} is not JSON: {error}")
    return row if isinstance(row, dict) else ValueError(f"line {number}: expected a JSON object")


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
