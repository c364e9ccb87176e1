"""How well a judge's scores of rated edits agree with people: by task and overall, with intervals."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from hpedit.calibration.bootstrap import Estimate, case_weights, estimate, estimates
from hpedit.calibration.ceiling import Ceiling, ceiling
from hpedit.calibration.logistic import fit_logistic
from hpedit.calibration.metrics import FIGURES, Floats, Rows, case_rows, figures, rounded
from hpedit.calibration.ratings import RatedEdit
from hpedit.calibration.weighted import pearson, weighted_figures, weighted_mean
from hpedit.scorers.base import Score
from hpedit.tasks import TASKS

ALL_FIGURES = ("plcc", "plcc_mapped", *FIGURES[1:])


@dataclass(frozen=True)
class Group:
    """The agreement on one task's edits, or on all.

    Attributes:
        figures: ALL_FIGURES by name; what they mean is said in hpedit.calibration.metrics.
        edits, cases: how many entered.
        missing: edits that the judge gave no score.
        pairs: pairs of one case's edits that people tell apart.
        ceiling: people among themselves; None where too few edits have two raters.
        map_failure: why plcc_mapped is the raw plcc; None where it is not.
    """

    figures: dict[str, Estimate]
    edits: int
    cases: int
    missing: int
    pairs: int
    ceiling: Ceiling | None
    map_failure: str | None


@dataclass(frozen=True)
class Bias:
    """Mean of judge minus human over ``edits`` edits of one human score, or of one editor."""

    name: str
    edits: int
    bias: Estimate


@dataclass(frozen=True)
class AgreementReport:
    """A judge's agreement with people.

    Attributes:
        judge: who judged.
        tasks: by canonical task name, in the order of hpedit.tasks.TASKS.
        macro: each figure's mean over the tasks that define it; intervals draw each task's cases apart.
        pooled: all edits at once. Differences between tasks help or hurt it; macro is the paper's overall.
        by_level: bias by rounded human score. Even an unbiased judge that errs is high on edits that people find bad
            and low on good ones: read it together with the scatter plot.
        by_editor: bias by editing model. A judge that favours one is worse than a noisy one.
        failures: why scores are missing, and how often.
        edits, scores: what was compared, in order.
        resamples, seed: of the bootstrap.
    """

    judge: str
    tasks: dict[str, Group]
    macro: dict[str, Estimate]
    pooled: Group
    by_level: list[Bias]
    by_editor: list[Bias]
    failures: dict[str, int]
    edits: Sequence[RatedEdit]
    scores: Sequence[Score]
    resamples: int
    seed: int


def agreement(
    edits: Sequence[RatedEdit],
    scores: Sequence[Score],
    judge: str = "judge",
    resamples: int = 1000,
    seed: int = 0,
) -> AgreementReport:
    """Compare n scores with the human means of n rated edits.

    Args:
        edits: what people rated.
        scores: the judge's score of each.
        judge: what the report calls it.
        resamples: how often the cases are drawn anew for the 95 % intervals.
        seed: of those draws.

    Raises ValueError where the lengths differ or no score could be had.
    """
    if len(edits) != len(scores):
        raise ValueError(f"scores: expected one for each of {len(edits)} edits, got {len(scores)}")
    predicted = np.array([score.value for score in scores])
    if not np.isfinite(predicted).any():
        reasons = "; ".join(reason for reason, _ in _failures(scores).most_common(3))
        raise ValueError(f"{judge}: no score of {len(edits)} edits could be had: {reasons}")
    parts = {
        task: _group(
            [i for i, e in enumerate(edits) if e.task == task], edits, predicted, resamples, seed, task
        )
        for task in TASKS
        if any(e.task == task for e in edits)
    }
    pooled, _ = _group(range(len(edits)), edits, predicted, resamples, seed, "pooled")
    return AgreementReport(
        judge=judge,
        tasks={task: group for task, (group, _) in parts.items()},
        macro=_macro([part for part in parts.values() if part[0].edits]),
        pooled=pooled,
        by_level=_biases(edits, predicted, _level, resamples, seed),
        by_editor=_biases(edits, predicted, lambda e: e.editor or "unnamed", resamples, seed),
        failures=dict(_failures(scores).most_common()),
        edits=edits,
        scores=scores,
        resamples=resamples,
        seed=seed,
    )


Replicates = dict[str, Floats]


def _group(
    members: Sequence[int],
    edits: Sequence[RatedEdit],
    predicted: Floats,
    resamples: int,
    seed: int,
    name: str,
) -> tuple[Group, Replicates]:
    scored = [i for i in members if np.isfinite(predicted[i])]
    chosen = [edits[i] for i in scored]
    x, y = predicted[scored], np.array([e.mean for e in chosen])
    case = [e.case.case_id for e in chosen]
    rows, weights = _draws(case, resamples, seed, name)
    values, drawn = figures(x, y, case), weighted_figures(x, y, rows, weights)
    logistic = fit_logistic(x, y)
    # The map is held as fitted on all edits: a thousand fits would say little more.
    values["plcc_mapped"] = float(pearson(logistic(x), y, np.ones((1, len(x))))[0])
    drawn["plcc_mapped"] = pearson(logistic(x), y, weights[:, rows])
    group = Group(
        figures=estimates(values, {figure: drawn[figure] for figure in ALL_FIGURES}),
        edits=len(scored),
        cases=int(values["cases"]),
        missing=len(members) - len(scored),
        pairs=int(values["pairs"]),
        ceiling=ceiling(chosen, x, rows, weights),
        map_failure=logistic.failure,
    )
    return group, drawn


def _draws(case: Sequence[str], resamples: int, seed: int, name: str) -> tuple[Rows, Floats]:
    """Return each edit's column and the weights (R, C); draws of differently named groups are independent."""
    rows = case_rows(case)
    return rows, case_weights(int(rows.max(initial=-1)) + 1, resamples, seed ^ crc32(name.encode()))


def _macro(parts: Sequence[tuple[Group, Replicates]]) -> dict[str, Estimate]:
    found = {}
    for name in ALL_FIGURES:
        defined = [(g.figures[name].value, d[name]) for g, d in parts if math.isfinite(g.figures[name].value)]
        value = float(np.mean([v for v, _ in defined])) if defined else math.nan
        found[name] = estimate(value, np.mean([d for _, d in defined], axis=0) if defined else np.array([]))
    return found


def _biases(
    edits: Sequence[RatedEdit],
    predicted: Floats,
    kind: Callable[[RatedEdit], str],
    resamples: int,
    seed: int,
) -> list[Bias]:
    found = []
    for name in sorted({kind(e) for e in edits}):
        members = [i for i, e in enumerate(edits) if kind(e) == name and np.isfinite(predicted[i])]
        gap = predicted[members] - np.array([edits[i].mean for i in members])
        rows, weights = _draws([edits[i].case.case_id for i in members], resamples, seed, name)
        if members:
            drawn = weighted_mean(gap, weights[:, rows])
            found.append(Bias(name, len(members), estimate(float(gap.mean()), drawn)))
    return found


def _level(edit: RatedEdit) -> str:
    return str(rounded(np.array([edit.mean]))[0])


def _failures(scores: Sequence[Score]) -> Counter[str]:
    return Counter(score.failure or "no number" for score in scores if not math.isfinite(score.value))
