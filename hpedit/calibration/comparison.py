"""A refined prompt beside what is cheaper, on edits that nothing was fitted on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np
from lightning.pytorch.utilities import rank_zero_warn
from scipy.stats import t as student

from hpedit.calibration.asking import Asked
from hpedit.calibration.bootstrap import LEVEL, Estimate, case_weights, estimates
from hpedit.calibration.closeness import Closeness, closeness, clustered_mean, item_closeness
from hpedit.calibration.maps import Floats, MapKind, fit_affine, fit_map, mapped
from hpedit.calibration.metrics import case_rows, figures
from hpedit.calibration.ratings import RatedEdit
from hpedit.calibration.weighted import weighted_figures
from hpedit.scorers.base import Score
from hpedit.scorers.prompts import ScoringPrompt

RESAMPLES = 1000
UNREFINED, TASK_BLIND, UNREFINED_AFFINE, REFINED = "unrefined", "task-blind", "unrefined + affine", "refined"


@dataclass(frozen=True)
class Arm:
    """One prompt's agreement with people on the report split.

    Attributes:
        prompt: what was asked.
        figures: metrics.FIGURES by name, with intervals clustered by case.
        closeness: mean closeness to people's scores, and how many scores are missing.
    """

    prompt: ScoringPrompt
    figures: Mapping[str, Estimate]
    closeness: Closeness


@dataclass(frozen=True)
class Comparison:
    """What the report split says.

    Attributes:
        arms: unrefined, task-blind, unrefined + affine (left out where no rising line fits), refined, and refined + the
            map that was asked for (left out where it does not rise).
        gain: closeness of the refined prompt minus the unrefined one's, edit by edit, with its 95 % interval.
        gain_recalibrated: the same once each has had its own affine map (or, where none rises, people's mean score):
            what the checks know, beyond a scale that a map repairs for nothing.
    """

    arms: Mapping[str, Arm]
    gain: Estimate
    gain_recalibrated: Estimate

    @property
    def improved(self) -> bool:
        """Whether the refined checks agree better with people, beyond chance and beyond recalibration."""
        return self.gain.low > 0 and self.gain_recalibrated.low > 0

    @property
    def final(self) -> Arm:
        """The winner's figures, through its map if it has one."""
        return list(self.arms.values())[-1]


def compare(
    start: ScoringPrompt,
    winner: ScoringPrompt,
    base: ScoringPrompt,
    fitting: Sequence[RatedEdit],
    report: Sequence[RatedEdit],
    asked: Asked,
    score_map: MapKind | None,
) -> Comparison:
    """Compare prompts on ``report``, which is scored last, with maps fitted on ``fitting``.

    Args:
        start: the unrefined prompt.
        winner: the refined one, without a map.
        base: the task-blind one.
        fitting: what maps are fitted on.
        report: what the figures are taken on.
        asked: what scores.
        score_map: kind of map on top of the winner, none by default.
    """
    bare = replace(start, map=None)
    prompts: dict[str, ScoringPrompt | None] = {
        UNREFINED: start,
        TASK_BLIND: replace(base, name=start.name),
        UNREFINED_AFFINE: _with_map("affine", bare, fitting, asked),
        REFINED: winner,
    }
    if score_map is not None:
        prompts[f"{REFINED} + {score_map}"] = _with_map(score_map, winner, fitting, asked)
    asked(winner, fitting)  # for the recalibrated gain, before the report split is touched
    arms = {name: _arm(name, prompt, report, asked) for name, prompt in prompts.items() if prompt is not None}
    lines = [_recalibrated(prompt, fitting, report, asked) for prompt in (bare, winner)]
    return Comparison(
        arms=arms,
        gain=paired_gain(report, _values(asked(start, report)), _values(asked(winner, report))),
        gain_recalibrated=paired_gain(report, lines[0], lines[1]),
    )


def paired_gain(edits: Sequence[RatedEdit], before: Floats, after: Floats) -> Estimate:
    """Return by how much ``after`` (n,) is closer to people than ``before`` (n,), over edits that both have scored.

    With Student's interval over cases: a bootstrap's is too short for the dozen cases of a report split.
    """
    people = [edit.mean for edit in edits]
    gaps = [
        item_closeness(a, h) - item_closeness(b, h) for b, a, h in zip(before, after, people, strict=True)
    ]
    cases = [edit.case.case_id for edit in edits]
    mean, se = clustered_mean(gaps, cases)
    both = {case for gap, case in zip(gaps, cases, strict=True) if not np.isnan(gap)}
    half = float(student.ppf((1 + LEVEL) / 2, max(len(both) - 1, 1))) * se
    return Estimate(mean, mean - half, mean + half)


def _arm(name: str, prompt: ScoringPrompt, edits: Sequence[RatedEdit], asked: Asked) -> Arm:
    scores = asked(prompt, edits)
    had = [
        (edit, score.value) for edit, score in zip(edits, scores, strict=True) if not math.isnan(score.value)
    ]
    if not had:
        raise ValueError(f"scorer: none of {len(edits)} edits could be scored by {name}: {scores[0].failure}")
    x, y = np.array([value for _, value in had]), np.array([edit.mean for edit, _ in had])
    case = [edit.case.case_id for edit, _ in had]
    rows = case_rows(case)
    drawn = weighted_figures(x, y, rows, case_weights(len(set(case)), RESAMPLES, seed=0))
    return Arm(prompt, estimates(figures(x, y, case), drawn), closeness(edits, scores))


def _with_map(
    kind: MapKind, prompt: ScoringPrompt, edits: Sequence[RatedEdit], asked: Asked
) -> ScoringPrompt | None:
    """Return the prompt with a map fitted on its scores of ``edits``; None, with a warning, where none rises."""
    fitted = fit_map(kind, _values(asked(prompt, edits)), [edit.mean for edit in edits])
    if fitted is None:
        rank_zero_warn(f"{prompt.name}: no {kind} map fits: the scores do not rise with people's ratings")
        return None
    return replace(prompt, map=fitted)


def _recalibrated(
    prompt: ScoringPrompt, fitting: Sequence[RatedEdit], report: Sequence[RatedEdit], asked: Asked
) -> Floats:
    """Return the report's scores through an affine map of their own, or people's mean where the scores know nothing."""
    people = [edit.mean for edit in fitting]
    line = fit_affine(_values(asked(prompt, fitting)), people)
    scores = _values(asked(prompt, report))
    return mapped(line, scores) if line is not None else np.where(np.isnan(scores), np.nan, fmean(people))


def _values(scores: Sequence[Score]) -> Floats:
    return np.array([score.value for score in scores])
