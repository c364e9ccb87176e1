"""Stage 7: the hard cases stay, and get weights to be drawn by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, ClassVar

import pyarrow as pa
from rich.table import Table

from hpedit.build.hardness import Difficulty, Rule, Verdict, levelled, value_of
from hpedit.build.stage import Kept
from hpedit.cases import ScoreRecord
from hpedit.scoring.edits import TARGET

DIGITS = 6


@dataclass(frozen=True)
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
        cases = [scored_of(row) for row in light.select(["task", "scores", "candidates"]).to_pylist()]
        rule = self.rule or Rule(solved=None)
        verdicts: list[Verdict] = [rule.judge(case.scores) for case in cases]
        rows = [i for i, verdict in enumerate(verdicts) if verdict == "kept"]
        weights = self._weights([cases[i] for i in rows])
        notes = facts(cases, verdicts)
        if self.difficulty is not None and weights:
            notes["weights"] = {"least": round(min(weights), 4), "greatest": round(max(weights), 4)}
        return Kept(rows, {"weight": pa.array(weights, pa.float64())}, notes)

    def _weights(self, cases: Sequence[Scored]) -> list[float]:
        if self.difficulty is None:
            return [1.0] * len(cases)
        return levelled([self.difficulty.weight(case.values) for case in cases])


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


def facts(cases: Sequence[Scored], verdicts: Sequence[Verdict]) -> dict[str, object]:
    """Return what the report says: counts by verdict, kept shares and score histograms by task, missing scores.

    A histogram counts cases by the mean score of their candidates, rounded to the digits 0 to 5.
    """
    tasks = sorted({case.task for case in cases})
    stayed = [case for case, verdict in zip(cases, verdicts, strict=True) if verdict == "kept"]
    total, kept = Counter(case.task for case in cases), Counter(case.task for case in stayed)
    return {
        "verdicts": dict(Counter(verdicts).most_common()),
        "missing_scores": sum(case.missing for case in cases),
        "by_task": {
            task: {
                "before": total[task],
                "kept": kept[task],
                "share": round(kept[task] / total[task], 4),
                "histogram_before": histogram([case for case in cases if case.task == task]),
                "histogram_after": histogram([case for case in stayed if case.task == task]),
            }
            for task in tasks
        },
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


def histogram(cases: Sequence[Scored]) -> list[int]:
    """Return how many cases have a mean score nearest to each of the digits 0 to 5; halves count upwards."""
    nearest = Counter(int(fmean(case.values) + 0.5) for case in cases if case.scores)
    return [nearest[digit] for digit in range(DIGITS)]
