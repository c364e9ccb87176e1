"""A build: stages in a row, each done where its folder does not have it yet."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from hpedit.build.chunks import ChunkFolder, ParquetRecords, write_table_durably
from hpedit.build.engine import Engine
from hpedit.build.fingerprint import fingerprint
from hpedit.build.kinds import ITEMS, Item
from hpedit.build.stage import ExportStage, MapStage, Recipe, StageSummary
from hpedit.build.step import Stage, Step
from hpedit.locks import alone


@dataclass(frozen=True)
class Built:
    """What a build came to.

    Attributes:
        folder: of the last stage.
        records: that it left behind; None after an export.
        recipe: what each stage did.
    """

    folder: Path
    records: ParquetRecords | None
    recipe: Recipe


@dataclass(frozen=True)
class Build:
    """A chain of stages in a work folder.

    Attributes:
        work: the folder. Whatever is finished in it under the same settings is not done again.
        stages: in order.
        engine: where the work is done.
    """

    work: Path
    stages: tuple[Stage, ...]
    engine: Engine = Engine()

    def run(self, items: Sequence[Item], until: str | None = None, retry: str | None = None) -> Built:
        """Do what is missing.

        Args:
            items: what the first stage reads.
            until: name of the stage after which to stop.
            retry: name of a stage whose chunks with quarantined records are done again, and all that follows.

        Raises ValueError where the chain does not fit together, another build is at work in the folder, a stage left
        nothing, or too much of a chunk failed; ConnectionError where a server cannot be reached.
        """
        stages = self.stages[: self._position(until, "--until") + 1]
        _expect_chain(stages)
        table = ITEMS.table(items)
        origin = _digest(table)
        paths = self._paths(origin)
        refusal = f"work: wanted {self.work} for this build alone, but another build is at work in it"
        with alone(self.work / ".lock", refusal):
            if retry is not None:
                _forget_failures(paths[self._position(retry, "--retry") :])
            file = self.work / f"00-items-{origin}.parquet"
            write_table_durably(file, table)
            return self._run(stages, ParquetRecords(ITEMS, (file,)), paths)

    def _position(self, name: str | None, flag: str) -> int:
        names = [stage.name for stage in self.stages]
        if name is None:
            return len(names) - 1
        if name not in names:
            raise ValueError(f"{flag}: wanted one of the stages {', '.join(names)}, got {name!r}")
        return names.index(name)

    def _paths(self, origin: str) -> list[Path]:
        """Return the stages' folders: each is named after its own settings and everything before it."""
        paths, before = [], origin
        for number, stage in enumerate(self.stages, 1):
            before = fingerprint(stage.version, stage, before)
            paths.append(self.work / f"{number:02d}-{stage.name}-{before}")
        return paths

    def _run(self, stages: Sequence[Stage], items: ParquetRecords, paths: Sequence[Path]) -> Built:
        records: ParquetRecords | None = items
        done: list[StageSummary] = []
        for stage, path in zip(stages, paths, strict=False):
            assert records is not None, "only the last stage exports"
            records, summary = Step(records, path, self.engine).do(stage, Recipe(tuple(done)))
            done.append(summary)
        return Built(paths[len(done) - 1], records, Recipe(tuple(done)))


def _digest(table: pa.Table) -> str:
    """Return 12 hexadecimal digits of a table's contents, without a copy of it as Python objects."""
    digest = hashlib.sha256()
    for batch in table.to_batches(max_chunksize=1024):
        digest.update(batch.serialize())
    return digest.hexdigest()[:12]


def _forget_failures(paths: Sequence[Path]) -> None:
    """Remove the chunks with quarantined records of the first stage; and before that, all that was made of them."""
    for path in reversed(paths[1:]):
        shutil.rmtree(path, ignore_errors=True)
    ChunkFolder(paths[0]).forget_failures()


def _expect_chain(stages: Sequence[Stage]) -> None:
    """Raise ValueError unless each stage reads what the one before leaves behind."""
    kind = ITEMS
    for number, stage in enumerate(stages):
        if isinstance(stage, ExportStage) and number < len(stages) - 1:
            raise ValueError(f"stage {stage.name} ends a build, but {stages[number + 1].name} comes after it")
        if isinstance(stage, MapStage):
            if stage.reads.name != kind.name:
                raise ValueError(
                    f"stage {stage.name} reads {stage.reads.name}, but what comes before it leaves {kind.name}"
                )
            kind = stage.writes
