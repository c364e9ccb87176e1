"""A data set read from its beginning, shard by shard: nothing is indexed, and nothing stays on this machine's disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import datasets
from pyarrow.dataset import ParquetFragmentScanOptions

from hpedit.rows import hub_name, local_files


class Shards(Protocol):
    """Records that come in order from each of ``count`` shards.

    Attributes:
        name: what messages call the data set.
        root: where relative paths of pictures start.
    """

    name: str
    root: Path
    count: int

    def rows(self, shard: int, start: int) -> Iterator[Mapping[str, Any]]:
        """Yield the records of a shard from number ``start`` on, pictures as encoded bytes."""
        ...


class ParquetShards:
    """The shards of a data set that ``datasets`` streams: a Parquet file each."""

    def __init__(self, dataset: datasets.IterableDataset, root: Path, name: str) -> None:
        self.name, self.root, self.count = name, root, dataset.num_shards
        self._dataset = dataset.decode(False)

    def rows(self, shard: int, start: int) -> Iterator[Mapping[str, Any]]:
        return iter(self._dataset.shard(self.count, shard).skip(start))


def open_shards(path: str, name: str = "data") -> ParquetShards:
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
    try:
        dataset = _open_files(files) if files else _open_on_hub(*hub_name(path, where))
    except Exception as error:  # datasets, hub and pyarrow errors share no base class
        raise ValueError(f"{where}: cannot be streamed: {type(error).__name__}: {error}") from error
    assert isinstance(dataset, datasets.IterableDataset)
    return ParquetShards(dataset, Path(files[0]).parent if files else Path(), where)


def _open_files(files: list[str]) -> Any:
    # What Arrow reads ahead of a file it keeps until the end of the file, which may be the whole data set.
    scan = ParquetFragmentScanOptions(pre_buffer=False)
    return datasets.load_dataset(
        "parquet", data_files=files, split="train", streaming=True, fragment_scan_options=scan
    )


def _open_on_hub(repo: str, split: str) -> Any:
    return datasets.load_dataset(repo, split=split, streaming=True)
