"""A build: stages in a row, each done where its folder does not have it yet."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
from filelock import FileLock, Timeout
from tqdm import tqdm

from hpedit.build.chunks import (
    ChunkFolder,
    ChunkStats,
    ParquetRecords,
    remove_parts,
    write_durably,
    write_table_durably,
)
from hpedit.build.engine import Engine
from hpedit.build.fingerprint import describe, fingerprint
from hpedit.build.jobs import Job, KeepJob, MapJob, chunk_count
from hpedit.build.kinds import ITEMS, Item
from hpedit.build.stage import ExportStage, MapStage, Recipe, ReduceStage, StageSummary, Workers

Stage = MapStage | ReduceStage | ExportStage


@dataclass(frozen=True)
class Place:
    """Where in a build a stage stands: what it reads, and the folder that is its own.

    Attributes:
        records: what the stage before left behind.
        path: folder of the stage, named by number, name and fingerprint.
    """

    records: ParquetRecords
    path: Path

    @property
    def folder(self) -> ChunkFolder:
        return ChunkFolder(self.path)


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
    engine: Engine

    def run(self, items: Sequence[Item], until: str | None = None) -> tuple[ParquetRecords | None, Recipe]:
        """Do what is missing, and return the last records (None after an export) and what each stage did.

        Args:
            items: what the first stage reads.
            until: name of the stage after which to stop.

        Raises ValueError where the chain does not fit together, another build is at work in the folder, a stage left
        nothing, or too much of a chunk failed; ConnectionError where a server cannot be reached.
        """
        stages = self._up_to(until)
        _expect_chain(stages)
        with _alone_in(self.work):
            return self._run(stages, items)

    def _up_to(self, until: str | None) -> tuple[Stage, ...]:
        names = [stage.name for stage in self.stages]
        if until is None:
            return self.stages
        if until not in names:
            raise ValueError(f"--until: wanted one of the stages {', '.join(names)}, got {until!r}")
        return self.stages[: names.index(until) + 1]

    def _run(self, stages: Sequence[Stage], items: Sequence[Item]) -> tuple[ParquetRecords | None, Recipe]:
        table = ITEMS.table(items)
        before = fingerprint(table.to_pylist())
        records: ParquetRecords | None = _listed(self.work / f"00-items-{before}", table)
        done: list[StageSummary] = []
        for number, stage in enumerate(stages, 1):
            assert records is not None, "only the last stage exports"
            before = fingerprint(stage.version, stage, before)
            place = Place(records, self.work / f"{number:02d}-{stage.name}-{before}")
            records, summary = self._stage(stage, place, Recipe(tuple(done)))
            done.append(summary)
        return records, Recipe(tuple(done))

    def _stage(
        self, stage: Stage, place: Place, recipe: Recipe
    ) -> tuple[ParquetRecords | None, StageSummary]:
        if isinstance(stage, ExportStage):
            return None, _export(stage, place, recipe)
        place.path.mkdir(parents=True, exist_ok=True)
        remove_parts(place.path)
        write_durably(place.path / "settings.json", _json(describe(stage)))
        if isinstance(stage, MapStage):
            return self._map(stage, place)
        return self._reduce(stage, place)

    def _map(self, stage: MapStage, place: Place) -> tuple[ParquetRecords, StageSummary]:
        count = chunk_count(len(place.records), stage.chunk_rows)
        if place.folder.missing(count):
            stage.check()
        job = MapJob(stage, place.records, place.folder, self.engine.max_failed)
        self._make(stage, job, place, stage.workers)
        files = tuple(map(place.folder.chunk, range(count)))
        return self._finished(stage, place, ParquetRecords(stage.writes, files), {})

    def _reduce(self, stage: ReduceStage, place: Place) -> tuple[ParquetRecords, StageSummary]:
        kept, notes = place.path / "kept.parquet", place.path / "notes.json"
        if not kept.exists():
            light, name = place.records.light(stage.columns), place.records.kind.id
            decision = stage.keep(light)
            write_durably(notes, _json(decision.notes))
            write_table_durably(kept, decision.table(light.column(name), name))
        job = KeepJob(place.records, kept, place.folder, stage.chunk_rows)
        self._make(stage, job, place, Workers())
        count = chunk_count(len(place.records), stage.chunk_rows)
        files = tuple(map(place.folder.chunk, range(count)))
        records = ParquetRecords(place.records.kind, files)
        return self._finished(stage, place, records, json.loads(notes.read_text(encoding="utf-8")))

    def _make(self, stage: MapStage | ReduceStage, job: Job, place: Place, workers: Workers) -> None:
        """Make the missing chunks under a progress bar, whose rate is that of this run."""
        rows, count = len(place.records), chunk_count(len(place.records), stage.chunk_rows)
        missing = place.folder.missing(count)
        there = rows - sum(min(stage.chunk_rows, rows - n * stage.chunk_rows) for n in missing)
        with tqdm(desc=f"{stage.name:<12}", total=rows, initial=there, unit=" rows", smoothing=0.1) as bar:
            for stats in self.engine.run(job, missing, workers):
                bar.update(stats.records_in)

    def _finished(
        self, stage: MapStage | ReduceStage, place: Place, records: ParquetRecords, notes: dict[str, object]
    ) -> tuple[ParquetRecords, StageSummary]:
        summary = _summary(stage, place, len(records.files), notes)
        if not summary.records_out:
            reasons = "; ".join(f"{n} x {reason}" for reason, n in list(summary.reasons.items())[:3])
            raise ValueError(
                f"stage {stage.name}: none of {summary.records_in} records is left"
                + (f": {reasons}" if reasons else f"; it decided {notes}" if notes else "")
            )
        return records, summary


def _listed(path: Path, table: pa.Table) -> ParquetRecords:
    path.mkdir(parents=True, exist_ok=True)
    file = path / "items.parquet"
    if not file.exists():
        write_table_durably(file, table)
    return ParquetRecords(ITEMS, (file,))


def _export(stage: ExportStage, place: Place, recipe: Recipe) -> StageSummary:
    if not (place.path / "notes.json").exists():
        part = place.path.with_name(f".{place.path.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        notes = stage.export(place.records, recipe, part)
        write_durably(part / "notes.json", _json(notes))
        part.replace(place.path)
    notes = json.loads((place.path / "notes.json").read_text(encoding="utf-8"))
    count = len(place.records)
    return StageSummary(stage.name, count, count, 0, 0.0, {}, notes, describe(stage))


def _summary(stage: Stage, place: Place, count: int, notes: dict[str, object]) -> StageSummary:
    every: list[ChunkStats] = [place.folder.stats(n) for n in range(count)]
    reasons = Counter(q.reason for q in place.folder.quarantined(count))
    return StageSummary(
        name=stage.name,
        records_in=sum(s.records_in for s in every),
        records_out=sum(s.records_out for s in every),
        quarantined=sum(s.quarantined for s in every),
        seconds=round(sum(s.seconds for s in every), 3),
        reasons=dict(reasons.most_common()),
        notes=notes,
        settings=describe(stage),
    )


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


@contextmanager
def _alone_in(work: Path) -> Iterator[None]:
    work.mkdir(parents=True, exist_ok=True)
    # Dropped by the system when the process dies, so that a killed build locks nobody out.
    lock = FileLock(work / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise ValueError(
            f"work: wanted {work} for this build alone, but another build is at work in it"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True).encode()


def report(recipe: Recipe) -> bytes:
    """Return build_report.json: what every stage did, and with which settings."""
    return _json([asdict(summary) for summary in recipe.stages])
