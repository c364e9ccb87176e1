"""People among themselves, and a judge in a rater's place."""

import numpy as np
import pytest

from hpedit.calibration.bootstrap import case_weights
from hpedit.calibration.ceiling import ceiling
from hpedit.calibration.metrics import case_rows
from hpedit.calibration.ratings import rated_edits
from tests.support.rated_cases import rated_cases


def plcc(x, y):
    return float(np.corrcoef(x, y)[0, 1])


def of(edits, predicted, resamples=200):
    rows = case_rows([edit.case.case_id for edit in edits])
    return ceiling(edits, np.asarray(predicted, float), rows, case_weights(rows.max() + 1, resamples, 0))


def test_one_rater_against_the_mean_of_the_others():
    edits = rated_edits(rated_cases(20, 2, 3))
    table = np.array([edit.ratings for edit in edits])
    one = [plcc(table[:, r], np.delete(table, r, axis=1).mean(axis=1)) for r in range(3)]
    judge = np.random.default_rng(0).uniform(0, 5, len(edits))
    same = [plcc(judge, np.delete(table, r, axis=1).mean(axis=1)) for r in range(3)]
    found = of(edits, judge)
    assert found is not None
    assert (found.raters, found.edits) == (3, 40)
    assert found.rater["plcc"].value == pytest.approx(np.mean(one), abs=1e-9)
    assert found.judge["plcc"].value == pytest.approx(np.mean(same), abs=1e-9)
    assert found.ratio["plcc"].value == pytest.approx(np.mean(same) / np.mean(one), abs=1e-9)


def test_a_judge_that_sees_as_well_as_a_rater_reaches_the_ceiling():
    """The judge is a further rater: the ratio's interval holds 1, and a noisier judge's does not."""
    cases = rated_cases(120, 2, 5, noise=0.6)
    edits = rated_edits(cases)
    fifth = [edit.ratings[4] for edit in edits]
    four = [type(e)(e.case, e.candidate, e.task, e.raters[:4], e.ratings[:4]) for e in edits]
    good = of(four, fifth)
    poor = of(four, np.array(fifth) + np.random.default_rng(0).normal(0, 1.5, len(four)))
    assert good is not None
    assert poor is not None
    assert good.ratio["plcc"].low < 1 < good.ratio["plcc"].high
    assert poor.ratio["plcc"].high < 0.95


def test_where_people_share_no_edits_there_is_no_ceiling():
    edits = rated_edits(rated_cases(20, 2, raters=1))
    assert of(edits, [1.0] * len(edits)) is None


def test_raters_of_different_edits_are_averaged_by_how_much_they_rated():
    edits = rated_edits(rated_cases(30, 2, 3))
    # The third rater saw the first ten edits only.
    part = [
        e if i < 10 else type(e)(e.case, e.candidate, e.task, e.raters[:2], e.ratings[:2])
        for i, e in enumerate(edits)
    ]
    found = of(part, [e.mean for e in part])
    assert found is not None
    third = plcc([e.ratings[2] for e in part[:10]], [np.mean(e.ratings[:2]) for e in part[:10]])
    others = [[(np.sum(e.ratings) - e.ratings[r]) / (len(e.ratings) - 1) for e in part] for r in range(2)]
    pair = [plcc([e.ratings[r] for e in part], others[r]) for r in range(2)]
    expected = (60 * pair[0] + 60 * pair[1] + 10 * third) / 130
    assert found.rater["plcc"].value == pytest.approx(expected, abs=1e-9)
