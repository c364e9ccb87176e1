"""What scores came to: a table by task, a histogram, and a CSV."""

from __future__ import annotations

import csv
import math
import os
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hpedit.cases import ScoreRecord
from hpedit.scorers.base import Score
from hpedit.scorers.metric import task_means
from hpedit.scoring.edits import Edit
from hpedit.tasks import TASKS

COLUMNS = (
    *("case_id", "cand_id", "task", "model", "scorer", "value", "argmax"),
    *(f"p{digit}" for digit in range(6)),
    *("mass", "entropy", "failure"),
)
_BAR = 40
_BINS = 10


def summary(name: str, tasks: Sequence[str], values: Sequence[float]) -> str:
    """Return a scorer's table by task and its histogram.

    Args:
        name: of the scorer.
        tasks, values: of each edit; NaN where it could not be had.
    """
    lines = [f"{name:<24}{'n':>7}{'mean':>8}{'sd':>8}{'failed':>8}"]
    for task in TASKS:
        mine = [value for value, its in zip(values, tasks, strict=True) if its == task]
        if mine:
            lines.append(_row(task, mine))
    lines.append(_row("all", list(values)))
    overall = task_means(tasks, values, "cpu")["overall"].item()
    lines.append(f"HP-Score, the mean of the tasks' means: {overall:.3f}")
    return "\n".join(lines) + "\n\n" + histogram([value for value in values if not math.isnan(value)])


def histogram(values: Sequence[float]) -> str:
    """Draw how many values, in [0, 5], lie in each half point; 5 belongs to the last one."""
    counts = [0] * _BINS
    for value in values:
        counts[min(_BINS - 1, int(2 * value))] += 1
    most = max([*counts, 1])
    return "\n".join(
        f"  {i / 2:.1f} - {(i + 1) / 2:.1f} {'#' * math.ceil(_BAR * count / most):<{_BAR}} {count:>6}"
        for i, count in enumerate(counts)
    )


def write_csv(path: Path, rows: Iterable[tuple[Edit, ScoreRecord, str | None]]) -> None:
    """Write one line a score: the edit, its score and why there is none. The file appears when it is complete."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(_cells(edit, record, failure) for edit, record, failure in rows)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _row(name: str, values: list[float]) -> str:
    had = [value for value in values if not math.isnan(value)]
    mean = f"{statistics.fmean(had):.3f}" if had else "-"
    spread = f"{statistics.stdev(had):.3f}" if len(had) > 1 else "-"
    return f"  {name:<22}{len(had):>7}{mean:>8}{spread:>8}{len(values) - len(had):>8}"


def _cells(edit: Edit, record: ScoreRecord, failure: str | None) -> dict[str, Any]:
    score = Score(math.nan, record.dist or None, record.mass)
    return {
        "case_id": edit.case.case_id,
        "cand_id": edit.candidate.cand_id,
        "task": edit.case.task,
        "model": edit.candidate.model,
        "scorer": record.scorer,
        "value": record.value,
        "argmax": score.argmax,
        **{f"p{digit}": p for digit, p in enumerate(record.dist)},
        "mass": record.mass,
        "entropy": score.entropy,
        "failure": failure,
    }
