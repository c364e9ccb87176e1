"""Stage 7: the hard cases stay, and get weights to be drawn by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, ClassVar

import pyarrow as pa
from rich.table import Table

from hpedit.build.hardness import Difficulty, Rule, Verdict, levelled, value_of
from hpedit.build.stage import Kept
from hpedit.cases import ScoreRecord
from hpedit.scoring.edits import TARGET

DIGITS = 6


@dataclass(frozen=True, slots=True)
class Scored:
    """What the filter knows of a case: its task, and the scores of its candidates."""

    task: str
    scores: tuple[ScoreRecord, ...]
    missing: int

    @property
    def values(self) -> list[float]:
        return [value_of(score) for score in self.scores]


@dataclass(frozen=True)
class Filter:
    """Drops the cases that teach nothing, and says how often to draw the others.

    Attributes:
        rule: which cases stay; null keeps all that have a score.
        difficulty: how often a case is drawn, as the column ``weight``; null draws all alike.
        chunk_rows: cases in a chunk.
    """

    rule: Rule | None = Rule()
    difficulty: Difficulty | None = None
    chunk_rows: int = 64
    name: ClassVar[str] = "filter"
    version: ClassVar[int] = 1
    columns: ClassVar[tuple[str, ...]] = ("task", "scores", "candidates.list.element.cand_id")

    def keep(self, light: pa.Table) -> Kept:
        rule = self.rule or Rule(solved=None)
        tally, rows, weights = Tally(), list[int](), list[float]()
        for row, case in enumerate(_scored(light)):
            verdict = rule.judge(case.scores)
            tally.add(case, verdict)
            if verdict == "kept":
                rows.append(row)
                weights.append(1.0 if self.difficulty is None else self.difficulty.weight(case.values))
        weights, notes = levelled(weights), tally.facts()
        if self.difficulty is not None and weights:
            notes["weights"] = {"least": round(min(weights), 4), "greatest": round(max(weights), 4)}
        return Kept(rows, {"weight": pa.array(weights, pa.float64())}, notes)


def _scored(light: pa.Table) -> Iterator[Scored]:
    """Read the light table piece by piece: as Python objects a case takes some kilobytes."""
    for batch in light.select(["task", "scores", "candidates"]).to_batches(max_chunksize=1024):
        yield from map(scored_of, batch.to_pylist())


def scored_of(row: dict[str, Any]) -> Scored:
    """Return what a row of the light table says. Of several scores of one candidate the latest counts.

    The target of a public data set counts only where the base model has no edits: how hard a case is, is its matter.
    """
    known = {candidate["cand_id"] for candidate in row["candidates"]}
    known = known - {TARGET} or known
    latest = {s["cand_id"]: s for s in row["scores"] if s["cand_id"] in known}
    records = [ScoreRecord(**{**s, "dist": tuple(s["dist"] or ())}) for s in latest.values()]
    had = tuple(record for record in records if record.value is not None)
    return Scored(row["task"], had, len(known) - len(had))


@dataclass
class Tally:
    """Counts what the report says, case by case.

    Attributes:
        verdicts: cases by verdict.
        missing: scores that could not be had.
        before, kept: cases by task, and those that stayed.
        means: cases by (task, whether they stayed, nearest digit to the mean score of their candidates); halves count
            upwards, and cases without a score are not in it.
    """

    verdicts: Counter[Verdict] = field(default_factory=Counter)
    missing: int = 0
    before: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    means: Counter[tuple[str, bool, int]] = field(default_factory=Counter)

    def add(self, case: Scored, verdict: Verdict) -> None:
        stays = verdict == "kept"
        self.verdicts[verdict] += 1
        self.missing += case.missing
        self.before[case.task] += 1
        self.kept[case.task] += stays
        if case.scores:
            self.means[case.task, stays, int(fmean(case.values) + 0.5)] += 1

    def facts(self) -> dict[str, Any]:
        """Return counts by verdict, kept shares and histograms by task, and missing scores, as JSON-able data."""
        return {
            "verdicts": dict(self.verdicts.most_common()),
            "missing_scores": self.missing,
            "by_task": {task: self._task(task) for task in sorted(self.before)},
        }

    def _task(self, task: str) -> dict[str, Any]:
        stayed, dropped = ([self.means[task, stays, d] for d in range(DIGITS)] for stays in (True, False))
        return {
            "before": self.before[task],
            "kept": self.kept[task],
            "share": round(self.kept[task] / self.before[task], 4),
            "histogram_before": [a + b for a, b in zip(stayed, dropped, strict=True)],
            "histogram_after": stayed,
        }


def filter_table(notes: Mapping[str, Any]) -> Table:
    """Return the facts as a table: a row for each task."""
    verdicts = ", ".join(f"{count:,} {verdict}" for verdict, count in notes["verdicts"].items())
    table = Table(title="filter", caption=f"{verdicts}; {notes['missing_scores']:,} scores missing")
    for name in ("task", "scored", "kept", "share", "scores 0 to 5 before", "after"):
        table.add_column(name, justify="left" if name == "task" else "right")
    for task, f in notes["by_task"].items():
        spreads = (" ".join(f"{n:,}" for n in f[f"histogram_{when}"]) for when in ("before", "after"))
        table.add_row(task, f"{f['before']:,}", f"{f['kept']:,}", f"{f['share']:.1%}", *spreads)
    return table
