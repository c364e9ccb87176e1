"""The agreement of a judge whose faults are known."""

import math

import numpy as np
import pytest

from hpedit.calibration.agreement import ALL_FIGURES, agreement
from hpedit.calibration.judges import stored_judges, stored_scores
from hpedit.calibration.ratings import rated_edits
from hpedit.scorers.base import Score
from tests.support.rated_cases import TASKS, rated_cases


@pytest.fixture(scope="module")
def edits():
    return rated_edits(rated_cases(60, 3, 3))


@pytest.fixture(scope="module")
def report(edits):
    (judge,) = stored_judges(edits)
    return agreement(edits, stored_scores(edits, judge), str(judge), resamples=200)


def test_each_task_the_macro_mean_and_the_pool_have_every_figure(report):
    assert sorted(report.tasks) == sorted(TASKS)
    for figures in (*(g.figures for g in report.tasks.values()), report.macro, report.pooled.figures):
        assert tuple(figures) == ALL_FIGURES
        assert figures["plcc"].low < figures["plcc"].value < figures["plcc"].high
    for name in ALL_FIGURES:
        mean = np.mean([group.figures[name].value for group in report.tasks.values()])
        assert report.macro[name].value == pytest.approx(mean)


def test_the_flattered_editor_is_found(report):
    bias = {b.name: b.bias for b in report.by_editor}
    assert bias["flatterer"].low > 0.1
    assert bias["flatterer"].value - bias["plain"].value == pytest.approx(0.3, abs=0.15)


def test_every_edit_is_in_one_level_and_of_one_editor(report, edits):
    assert sum(b.edits for b in report.by_level) == len(edits) == sum(b.edits for b in report.by_editor)
    level = {b.name: b for b in report.by_level}["3"]
    members = [
        s.value - e.mean for e, s in zip(edits, report.scores, strict=True) if math.floor(e.mean + 0.5) == 3
    ]
    assert level.edits == len(members)
    assert level.bias.value == pytest.approx(np.mean(members))


def test_missing_scores_are_counted_and_named(edits):
    scores = [Score.missing("the server slept") if i % 4 == 0 else Score(e.mean) for i, e in enumerate(edits)]
    found = agreement(edits, scores, resamples=50)
    assert found.pooled.missing == 45
    assert found.failures == {"the server slept": 45}
    assert found.pooled.figures["plcc"].value == pytest.approx(1)
    assert found.pooled.figures["mae"].value == 0


def test_the_seed_decides_the_intervals_and_nothing_else(edits, report):
    again = agreement(edits, report.scores, report.judge, resamples=200)
    other = agreement(edits, report.scores, report.judge, resamples=200, seed=1)
    assert again.macro == report.macro
    assert other.macro["plcc"].value == report.macro["plcc"].value
    assert other.macro["plcc"].low != report.macro["plcc"].low


def test_a_judge_without_any_score_is_refused(edits):
    with pytest.raises(ValueError, match=r"stub: no score of 180 edits could be had: asleep"):
        agreement(edits, [Score.missing("asleep")] * len(edits), "stub")
    with pytest.raises(ValueError, match="expected one for each of 180 edits, got 1"):
        agreement(edits, [Score(1.0)])
