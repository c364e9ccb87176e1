"""One stage of a build in its folder: what is missing is made, what is there is left alone."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from hpedit.build.chunks import (
    ChunkFolder,
    ParquetRecords,
    remove_parts,
    write_durably,
    write_table_durably,
)
from hpedit.build.engine import Engine
from hpedit.build.fingerprint import describe
from hpedit.build.jobs import Job, KeepJob, MapJob, chunk_count
from hpedit.build.stage import ExportStage, MapStage, Recipe, ReduceStage, StageSummary, Workers
from hpedit.build.summary import expect_some, summarise, summarise_export, to_json

Stage = MapStage | ReduceStage | ExportStage


@dataclass(frozen=True)
class Step:
    """A place in a build.

    Attributes:
        records: what the stage reads.
        path: the stage's own folder, named by number, name and fingerprint.
        engine: where the work is done.
    """

    records: ParquetRecords
    path: Path
    engine: Engine

    def do(self, stage: Stage, recipe: Recipe) -> tuple[ParquetRecords | None, StageSummary]:
        """Make what is missing, and return the records left behind (None by an export) and the stage's summary."""
        if isinstance(stage, ExportStage):
            return None, self._export(stage, recipe)
        self.path.mkdir(parents=True, exist_ok=True)
        remove_parts(self.path)
        write_durably(self.path / "settings.json", to_json(describe(stage)))
        return self._map(stage) if isinstance(stage, MapStage) else self._reduce(stage)

    def _map(self, stage: MapStage) -> tuple[ParquetRecords, StageSummary]:
        job = MapJob(stage, self.records, ChunkFolder(self.path), self.engine.max_failed)
        if self._missing(stage):
            stage.check()
        self._make(stage, job, stage.workers)
        records = ParquetRecords(stage.writes, self._files(stage))
        return records, self._summary(stage, {})

    def _reduce(self, stage: ReduceStage) -> tuple[ParquetRecords, StageSummary]:
        kept, notes = self.path / "kept.parquet", self.path / "notes.json"
        if not kept.exists():
            light, name = self.records.light(stage.columns), self.records.kind.id
            decision = stage.keep(light)
            write_durably(notes, to_json(decision.notes))
            write_table_durably(kept, decision.table(light.column(name), name))
        job = KeepJob(self.records, kept, ChunkFolder(self.path), stage.chunk_rows)
        self._make(stage, job, Workers())
        records = ParquetRecords(self.records.kind, self._files(stage))
        return records, self._summary(stage, json.loads(notes.read_text(encoding="utf-8")))

    def _export(self, stage: ExportStage, recipe: Recipe) -> StageSummary:
        done = self.path / ".export.json"  # hidden: what is published is the user's
        if not done.exists():
            began = time.monotonic()
            part = self.path.with_name(f".{self.path.name}.part")
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            notes = stage.export(self.records, recipe, part)
            facts = {"notes": notes, "seconds": round(time.monotonic() - began, 3)}
            write_durably(part / done.name, to_json(facts))
            part.replace(self.path)
        facts = json.loads(done.read_text(encoding="utf-8"))
        return summarise_export(stage, len(self.records), facts["seconds"], facts["notes"])

    def _make(self, stage: MapStage | ReduceStage, job: Job, workers: Workers) -> None:
        """Make the missing chunks under a progress bar, whose rate is that of this run."""
        rows, missing = len(self.records), self._missing(stage)
        there = rows - sum(min(stage.chunk_rows, rows - n * stage.chunk_rows) for n in missing)
        with tqdm(desc=f"{stage.name:<12}", total=rows, initial=there, unit=" rows", smoothing=0.1) as bar:
            for stats in self.engine.run(job, missing, workers):
                bar.update(stats.records_in)

    def _count(self, stage: MapStage | ReduceStage) -> int:
        return chunk_count(len(self.records), stage.chunk_rows)

    def _missing(self, stage: MapStage | ReduceStage) -> list[int]:
        return ChunkFolder(self.path).missing(self._count(stage))

    def _files(self, stage: MapStage | ReduceStage) -> tuple[Path, ...]:
        return tuple(map(ChunkFolder(self.path).chunk, range(self._count(stage))))

    def _summary(self, stage: MapStage | ReduceStage, notes: dict[str, object]) -> StageSummary:
        summary = summarise(stage, ChunkFolder(self.path), self._count(stage), notes)
        expect_some(summary)
        return summary
