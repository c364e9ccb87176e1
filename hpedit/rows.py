"""Rows of any data set, whatever its columns: Parquet files, a metadata.jsonl or metadata.csv, a hub's data set.

Reading is lazy: a row costs no copy of its pictures.
"""

from __future__ import annotations

import csv
import glob
import json
from collections.abc import Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Protocol

import datasets
import pyarrow as pa
from datasets import Features

from hpedit.published import training_files


class Rows(Protocol):
    """Records as dicts by column name, pictures not yet read.

    Attributes:
        root: where relative paths start.
        features: types of the columns, where the file says them.
    """

    root: Path
    columns: frozenset[str]
    features: Features

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Mapping[str, Any]: ...


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
        self.features = dataset.features

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


def plain(value: Any) -> Any:
    """Return a value of a row with its buffers turned into bytes."""
    if isinstance(value, pa.Buffer):
        return value.to_pybytes()
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, list) else value


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
