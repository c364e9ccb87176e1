"""Whether a judge still says what it said: a frozen anchor set is scored again and held against its stored scores.

A hosted model may change without notice, and a served one with its engine, its number format or its prompts. Scores
of before and after such a change do not compare.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hpedit.calibration.bootstrap import Estimate, case_weights, estimate, plain
from hpedit.calibration.metrics import Floats, case_rows
from hpedit.calibration.ratings import Edit
from hpedit.calibration.weighted import pearson, weighted_mean
from hpedit.scorers.base import Score
from hpedit.tasks import TASKS


@dataclass(frozen=True)
class Limits:
    """What counts as drift.

    Attributes:
        shift: largest mean shift, of all edits or of one task's, in points of the scale 0-5.
        plcc: least correlation of the new scores with the old.
        lost: largest share of the edits scored before that have no score now.
    """

    shift: float = 0.1
    plcc: float = 0.95
    lost: float = 0.02


@dataclass(frozen=True)
class Shift:
    """New minus old score over ``edits`` edits: the mean with its interval, the mean distance, and the largest."""

    edits: int
    mean: Estimate
    distance: float
    largest: float


@dataclass(frozen=True)
class Drift:
    """What became of an anchor set's scores.

    Attributes:
        judge: who judged.
        overall: the shift over all edits scored then and now.
        tasks: the shift by task.
        plcc: correlation of new with old.
        before: edits that had a score.
        lost: how many of those have none now.
        farthest: the edit that moved most, and its old and new score.
        reasons: which limits are passed; none means that the judge is steady.
        limits: what was held to be drift.
    """

    judge: str
    overall: Shift
    tasks: dict[str, Shift]
    plcc: Estimate
    before: int
    lost: int
    farthest: tuple[str, float, float]
    reasons: tuple[str, ...]
    limits: Limits

    @property
    def steady(self) -> bool:
        return not self.reasons


def drift(
    edits: Sequence[Edit],
    old: Sequence[Score],
    new: Sequence[Score],
    judge: str,
    limits: Limits = Limits(),
    resamples: int = 1000,
    seed: int = 0,
) -> Drift:
    """Compare two scorings of the same n edits; those without an old score are left out.

    Raises ValueError where no edit has both scores.
    """
    before = np.array([score.value for score in old])
    after = np.array([score.value for score in new])
    both = np.flatnonzero(np.isfinite(before) & np.isfinite(after))
    if not len(both):
        reasons = sorted({score.failure for score in (*old, *new) if score.failure})[:3]
        raise ValueError(f"{judge}: expected edits scored before and now, got none: {'; '.join(reasons)}")
    kept = [edits[i] for i in both.tolist()]
    x, y = before[both], after[both]
    rows = case_rows([edit.case.case_id for edit in kept])
    weights = case_weights(int(rows.max()) + 1, resamples, seed)
    far = int(np.abs(y - x).argmax())
    had = int(np.isfinite(before).sum())
    overall = _shift(y - x, weights[:, rows])
    by_task = {
        task: _shift((y - x)[mine], weights[:, rows[mine]])
        for task in TASKS
        if len(mine := [i for i, edit in enumerate(kept) if edit.task == task])
    }
    plcc = float(pearson(x, y, np.ones((1, len(x))))[0])
    return Drift(
        judge=judge,
        overall=overall,
        tasks=by_task,
        plcc=estimate(plcc, pearson(x, y, weights[:, rows])),
        before=had,
        lost=had - len(both),
        farthest=(kept[far].name, float(x[far]), float(y[far])),
        reasons=tuple(_reasons(overall, by_task, plcc, (had - len(both)) / had, limits)),
        limits=limits,
    )


def text(found: Drift) -> str:
    """Return the report as text, the verdict last."""
    name, was, now = found.farthest
    lines = [
        f"{found.judge}: {found.overall.edits} of {found.before} anchor edits scored again",
        f"{'':<24}{'edits':>6}  {'mean shift':<26}{'|shift|':>8}{'largest':>9}",
    ]
    for task, shift in (*found.tasks.items(), ("all", found.overall)):
        lines.append(
            f"{task:<24}{shift.edits:>6}  {shift.mean!s:<26}{shift.distance:>8.3f}{shift.largest:>+9.2f}"
        )
    lines.append(f"PLCC of new with old: {found.plcc}")
    lines.append(f"moved most: {name}, {was:.2f} -> {now:.2f}")
    lines.append("steady" if found.steady else "drifted: " + "; ".join(found.reasons))
    return "\n".join(lines)


def as_json(found: Drift) -> dict[str, Any]:
    """Return the report as plain values, null for what the data do not define."""
    return plain({**asdict(found), "verdict": "steady" if found.steady else "drifted"})


def _shift(gap: Floats, weights: Floats) -> Shift:
    largest = float(gap[np.abs(gap).argmax()])
    mean = estimate(float(gap.mean()), weighted_mean(gap, weights))
    return Shift(len(gap), mean, float(np.abs(gap).mean()), largest)


def _reasons(overall: Shift, tasks: dict[str, Shift], plcc: float, lost: float, limits: Limits) -> list[str]:
    found = []
    for name, shift in (("all edits", overall), *tasks.items()):
        if abs(shift.mean.value) > limits.shift:
            found.append(f"{name} moved by {shift.mean.value:+.3f} (limit {limits.shift:g})")
    # Undefined where either scoring gives all edits one score, which is no steadiness to be sure of.
    if not plcc >= limits.plcc:
        shown = "is not defined" if math.isnan(plcc) else f"is {plcc:.3f}"
        found.append(f"PLCC of new with old {shown} (limit {limits.plcc:g})")
    if lost > limits.lost:
        found.append(f"{lost:.1%} of the scores are lost (limit {limits.lost:.1%})")
    return found
