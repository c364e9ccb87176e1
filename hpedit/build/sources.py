"""Where photographs come from: folders, and public edit data sets. What is there is listed once, then read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from hpedit.build.field_maps import FieldMap, cell, load_field_map
from hpedit.build.kinds import Item
from hpedit.build.layouts import find_pictures
from hpedit.build.photo import Rating
from hpedit.cases import Provenance
from hpedit.pictures import Picture
from hpedit.rows import Rows, open_rows
from hpedit.tasks import canonical_task


@dataclass(frozen=True)
class Folder:
    """A folder of photographs; DIV2K, LSDIR, COCO and Pixabay dumps are recognised by their layout.

    Attributes:
        path: of the folder, searched to any depth.
        name: of the data set in ids and provenance; by default what the layout says, or the folder's name.
        license: of the photographs; by default what the layout says.
    """

    path: str
    name: str | None = None
    license: str | None = None


@dataclass(frozen=True)
class EditDataset:
    """A data set of edits: its pictures, and where it has them its instructions, targets and scores.

    Attributes:
        path: Parquet files, a folder or glob of them, a metadata.jsonl or metadata.csv, or "owner/name:split" on the
            hub.
        fields: what its columns mean: a YAML file, or one of configs/build/fields such as "ultraedit".
        task: the task of all its rows, in place of what the field map says.
        license: in place of the field map's.
        images: folder that pictures given as paths are relative to; by default that of the files.
        limit: rows to take, from the first; null takes all.
    """

    path: str
    fields: str
    task: str | None = None
    license: str | None = None
    images: str | None = None
    limit: int | None = None


@dataclass(frozen=True)
class RawPhoto:
    """A picture as its source has it, and the edit that came with it; ``row`` is what the source calls it itself."""

    image: Picture
    row: str | None = None
    task: str | None = None
    instruction: str | None = None
    language: str | None = None
    target: Picture | None = None
    ratings: tuple[Rating, ...] = ()


@dataclass(frozen=True)
class OpenFolder:
    """Reads the pictures of a Folder."""

    source: Folder

    @property
    def root(self) -> Path:
        return Path(self.source.path).expanduser()

    def items(self, number: int) -> list[Item]:
        """List the pictures. Raises ValueError where there are none."""
        if not self.root.is_dir():
            raise ValueError(f"collect.folders: expected a folder, got {self.source.path!r}")
        found = find_pictures(self.root)
        if not found:
            raise ValueError(f"collect.folders: found no pictures in {self.source.path!r}")
        items = []
        for f in found:
            name = self.source.name or f.dataset or self.root.resolve().name
            license = self.source.license if self.source.license is not None else f.license
            stamp = str((self.root / f.key).stat().st_size)
            provenance = Provenance(name, f.row, license)
            items.append(Item(f"{name}/{f.key}", number, f.key, stamp, provenance, f.categories))
        return items

    def read(self, key: str) -> RawPhoto:
        return RawPhoto(Picture(self.root / key))


@dataclass(frozen=True)
class OpenDataset:
    """Reads the rows of an EditDataset, opened when it is first needed."""

    source: EditDataset

    @cached_property
    def fields(self) -> FieldMap:
        return load_field_map(self.source.fields)

    @cached_property
    def rows(self) -> Rows:
        return open_rows(self.source.path, f"collect.datasets: {self.source.path}")

    def items(self, number: int) -> list[Item]:
        """List the rows. Raises ValueError where a column of the field map is missing."""
        fields = self.fields
        columns = (fields.source, fields.instruction, fields.target, fields.row, fields.task)
        scored = [scale.column for scale in fields.scores.values()]
        if missing := [c for c in (*columns, *scored) if c and c.split(".")[0] not in self.rows.columns]:
            raise ValueError(
                f"collect.datasets: {self.source.path} has no column {missing[0]!r}, which {self.source.fields} names; "
                f"it has {', '.join(sorted(self.rows.columns))}"
            )
        license = fields.license if self.source.license is None else self.source.license
        count = len(self.rows) if self.source.limit is None else min(self.source.limit, len(self.rows))
        return [
            Item(
                f"{fields.dataset}/{row:08d}",
                number,
                str(row),
                "",
                Provenance(fields.dataset, str(row), license),
            )
            for row in range(count)
        ]

    def read(self, key: str) -> RawPhoto:
        """Read a row. Raises ValueError where it has no picture."""
        row, fields = self.rows[int(key)], self.fields
        own = None if fields.row is None else str(cell(row, fields.row))
        photo = RawPhoto(self._picture(row, fields.source), own)
        task, is_ours = self._task(row)
        instruction = None if fields.instruction is None else cell(row, fields.instruction)
        if not is_ours or not isinstance(instruction, str) or not instruction.strip():
            return replace(photo, task=task)
        return replace(
            photo,
            task=task,
            instruction=instruction.strip(),
            language=fields.language,
            target=self._target(row),
            ratings=fields.ratings(row),
        )

    def _task(self, row: Mapping[str, Any]) -> tuple[str | None, bool]:
        if self.source.task is None:
            return self.fields.task_of(row)
        return canonical_task(self.source.task, "collect.datasets.task"), True

    def _target(self, row: Mapping[str, Any]) -> Picture | None:
        column = self.fields.target
        return None if column is None or cell(row, column) is None else self._picture(row, column)

    def _picture(self, row: Mapping[str, Any], column: str) -> Picture:
        root = self.rows.root if self.source.images is None else Path(self.source.images).expanduser()
        return Picture.of(cell(row, column), root)


def open_sources(
    folders: Sequence[Folder], datasets: Sequence[EditDataset]
) -> list[OpenFolder | OpenDataset]:
    """Return readers of all sources, in the order that Item.source counts."""
    return [*map(OpenFolder, folders), *map(OpenDataset, datasets)]
