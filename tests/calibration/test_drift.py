"""A judge that moved is told from one that did not."""

import json

import numpy as np
import pytest

from hpedit.calibration.drift import Limits, as_json, drift, text
from hpedit.calibration.quarantine import Quarantine
from hpedit.calibration.ratings import edits_of
from hpedit.scorers.base import Score
from tests.support.rated_cases import rated_cases

EDITS = list(edits_of(rated_cases(30, 2), Quarantine()))
OLD = [Score(float(v)) for v in np.random.default_rng(0).uniform(0.5, 4, len(EDITS))]


def moved(by):
    return [Score(score.value + by(edit)) for edit, score in zip(EDITS, OLD, strict=True)]


def test_a_judge_that_says_the_same_is_steady():
    found = drift(EDITS, OLD, moved(lambda e: 0.0), "hp")
    assert found.steady
    assert (found.overall.mean.value, found.overall.largest, found.lost) == (0, 0, 0)
    assert found.plcc.value == pytest.approx(1)
    assert text(found).endswith("steady")


def test_a_shift_of_one_task_is_named():
    found = drift(EDITS, OLD, moved(lambda e: 0.25 * (e.task == "bokeh")), "hp")
    assert not found.steady
    assert found.tasks["bokeh"].mean.value == pytest.approx(0.25)
    assert found.tasks["object_removal"].mean.value == 0
    assert found.overall.mean.value == pytest.approx(0.25 / 3)
    assert found.reasons == ("bokeh moved by +0.250 (limit 0.1)",)
    assert drift(EDITS, OLD, moved(lambda e: 0.25 * (e.task == "bokeh")), "hp", Limits(shift=0.3)).steady


def test_scores_that_scatter_without_a_shift_are_drift_too():
    draw = np.random.default_rng(1)
    noise = draw.normal(0, 0.8, len(EDITS))
    noise -= noise.mean()
    by = dict(zip(map(id, EDITS), noise, strict=True))
    found = drift(EDITS, OLD, moved(lambda e: by[id(e)]), "hp", Limits(shift=1.0))
    assert [reason.split(" is ")[0] for reason in found.reasons] == ["PLCC of new with old"]
    assert found.overall.distance == pytest.approx(np.abs(noise).mean())


def test_lost_scores_are_drift_and_never_zero():
    new = [Score.missing("gone") if i < 6 else score for i, score in enumerate(OLD)]
    found = drift(EDITS, OLD, new, "hp")
    assert (found.before, found.lost, found.overall.edits) == (60, 6, 54)
    assert found.reasons == ("10.0% of the scores are lost (limit 2.0%)",)
    assert found.overall.mean.value == 0


def test_the_edit_that_moved_most_is_named():
    found = drift(EDITS, OLD, moved(lambda e: -1.0 * (e.name == "case-007/k1")), "hp")
    name, was, now = found.farthest
    assert (name, found.overall.largest) == ("case-007/k1", pytest.approx(-1))
    assert was - now == pytest.approx(1)


def test_a_constant_judge_is_no_steady_one_and_json_stays_json():
    found = drift(EDITS, [Score(3.0)] * 60, [Score(3.0)] * 60, "hp")
    assert found.reasons == ("PLCC of new with old is not defined (limit 0.95)",)
    record = json.loads(json.dumps(as_json(found), allow_nan=False))
    assert (record["verdict"], record["plcc"]["value"]) == ("drifted", None)


def test_nothing_to_compare_is_said():
    with pytest.raises(ValueError, match="scored before and now, got none: gone"):
        drift(EDITS, OLD, [Score.missing("gone")] * 60, "hp")
