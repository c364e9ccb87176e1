"""A data set read from its beginning, shard by shard: nothing is indexed, and nothing stays on this machine's disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import datasets
import pyarrow.parquet as pq

from hpedit.rows import hub_name, local_files


class Shards(Protocol):
    """Records that come in order from each of ``count`` shards.

    Attributes:
        name: what messages call the data set.
        root: where relative paths of pictures start.
    """

    @property
    def name(self) -> str: ...

    @property
    def root(self) -> Path: ...

    @property
    def count(self) -> int: ...

    def rows(self, shard: int, start: int) -> Iterator[Mapping[str, Any]]:
        """Yield the records of a shard from number ``start`` on, pictures as encoded bytes."""
        ...


@dataclass(frozen=True)
class FileShards:
    """Parquet files on this machine, each a shard, one row group of it in memory.

    Not through ``datasets``: its reader runs ahead of a slow consumer until the whole file is in memory, and reads
    what it skips.
    """

    files: tuple[Path, ...]
    name: str

    @property
    def root(self) -> Path:
        return self.files[0].parent

    @property
    def count(self) -> int:
        return len(self.files)

    def rows(self, shard: int, start: int) -> Iterator[Mapping[str, Any]]:
        with pq.ParquetFile(self.files[shard]) as file:
            for group in range(file.num_row_groups):
                size = file.metadata.row_group(group).num_rows
                if start < size:
                    yield from file.read_row_group(group).slice(start).to_pylist()
                start = max(start - size, 0)


class HubShards:
    """The shards of a data set that ``datasets`` streams from the hub: a Parquet file each."""

    def __init__(self, dataset: datasets.IterableDataset, name: str) -> None:
        self.name, self.root, self.count = name, Path(), dataset.num_shards
        self._dataset = dataset.decode(False)

    def rows(self, shard: int, start: int) -> Iterator[Mapping[str, Any]]:
        return iter(self._dataset.shard(self.count, shard).skip(start))


def open_shards(path: str, name: str = "data") -> Shards:
    """Open a data set to be streamed; ``path`` and ``name`` are as in hpedit.records.read_cases.

    Raises ValueError that starts with ``name`` where there is nothing to stream.
    """
    where = f"{name}={path}"
    files = local_files(path)
    if files and files[0].endswith((".jsonl", ".csv")):
        raise ValueError(
            f"{where}: expected Parquet files or a data set on the hub to stream, got {Path(files[0]).name}, whose "
            "pictures are read one by one anyway; leave streaming out"
        )
    repo, split = ("", "") if files else hub_name(path, where)
    try:
        return _files(files, where) if files else _hub(repo, split, where)
    except Exception as error:  # datasets, hub and pyarrow errors share no base class
        raise ValueError(f"{where}: cannot be streamed: {type(error).__name__}: {error}") from error


def _files(files: list[str], where: str) -> FileShards:
    for file in files:
        pq.read_schema(file)  # a file of another kind is named now, not in the middle of a run
    return FileShards(tuple(map(Path, files)), where)


def _hub(repo: str, split: str, where: str) -> HubShards:
    dataset = datasets.load_dataset(repo, split=split, streaming=True)
    assert isinstance(dataset, datasets.IterableDataset)
    return HubShards(dataset, where)
