"""Parquet files of a published split, each of a size that a hub likes, named as ``datasets`` names them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

# Until a file is closed its table of contents is in memory, about a kilobyte a row where row groups are small: so a
# file of tiny pictures is full before its bytes are.
MAX_ROWS = 8192


class Shards:
    """Writes tables one after another, and begins a new file when one is full. Each table is one row group.

    Files are called data/train-00003-of-00012.parquet once ``close`` knows how many there are.
    """

    def __init__(self, folder: Path, split: str, schema: pa.Schema, max_bytes: int) -> None:
        self.folder, self.split, self.schema, self.max_bytes = folder, split, schema, max_bytes
        self.rows = 0
        self._parts: list[Path] = []
        self._writer: pq.ParquetWriter | None = None
        self._bytes = self._rows = 0

    def add(self, table: pa.Table) -> None:
        """Write the rows of a table that has the columns of the schema."""
        if self._writer is None:
            self._writer = self._begin()
        self._writer.write_table(table.select(self.schema.names).cast(self.schema), row_group_size=len(table))
        self.rows += len(table)
        self._rows += len(table)
        self._bytes += table.nbytes
        if self._bytes >= self.max_bytes or self._rows >= MAX_ROWS:
            self._end()

    def close(self) -> list[Path]:
        """Finish, and return the files under their names."""
        self._end()
        count = len(self._parts)
        names = [self.folder / f"{self.split}-{n:05d}-of-{count:05d}.parquet" for n in range(count)]
        for part, name in zip(self._parts, names, strict=True):
            part.replace(name)
        return names

    def _begin(self) -> pq.ParquetWriter:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._parts.append(self.folder / f".{self.split}-{len(self._parts):05d}.part")
        self._bytes = self._rows = 0
        return pq.ParquetWriter(self._parts[-1], self.schema)

    def _end(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer = None
