"""A fitted map brings scores nearer to people's without ever turning their order round."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpedit.calibration.maps import fit_affine, fit_isotonic, fit_map, mapped
from hpedit.scorers.score_map import AffineMap, IsotonicMap

scores = st.floats(0, 5, allow_nan=False).map(lambda v: round(v, 2))
rated = st.lists(st.tuples(scores, scores), min_size=1, max_size=40)


def test_the_line_is_numpys_least_squares_line():
    draw = np.random.default_rng(3)
    judge = draw.uniform(0, 5, 50)
    people = 0.4 * judge + 1.5 + draw.normal(0, 0.3, 50)
    line = fit_affine(judge, people)
    assert line is not None
    assert (line.slope, line.intercept) == pytest.approx(tuple(np.polyfit(judge, people, 1)))


@pytest.mark.parametrize("judge", [[3.0, 3.0, 3.0], [5.0, 3.0, 1.0], [math.nan] * 3])
def test_no_line_where_the_judge_ranks_nothing_or_backwards(judge: list[float]):
    assert fit_affine(judge, [0.0, 2.0, 5.0]) is None


def test_no_step_where_the_judge_ranks_backwards():
    assert fit_isotonic([5.0, 3.0, 1.0], [0.0, 2.0, 5.0]) is None
    assert fit_isotonic([4.0, 4.0], [0.0, 5.0]) is None


def test_pools_neighbours_that_people_rank_the_other_way():
    # By hand: 1 and 2 are out of order and share their mean; two edits scored 3 are one point.
    found = fit_isotonic([0, 1, 2, 3, 3], [0, 3, 1, 4, 5])
    assert found == IsotonicMap((0.0, 1.0, 2.0, 3.0), (0.0, 2.0, 2.0, 4.5))


def test_a_missing_score_is_left_out():
    whole = fit_affine([1, 2, 4], [2, 2.5, 4])
    assert fit_affine([1, math.nan, 2, 4], [2, 0, 2.5, 4]) == whole
    assert fit_isotonic([1, math.nan, 2, 4], [2, 0, 2.5, 4]) == fit_isotonic([1, 2, 4], [2, 2.5, 4])


@given(rated)
def test_a_map_rises_and_stays_on_the_scale(pairs: list[tuple[float, float]]):
    judge, people = zip(*pairs, strict=True)
    for kind in ("affine", "isotonic"):
        found = fit_map(kind, judge, people)
        values = mapped(found, np.linspace(0, 5, 51))
        assert (np.diff(values) >= -1e-12).all()
        assert values.min() >= 0
        assert values.max() <= 5


@given(rated)
def test_no_monotone_map_is_nearer_on_what_it_was_fitted_on(pairs: list[tuple[float, float]]):
    judge, people = (np.array(column) for column in zip(*pairs, strict=True))
    found = fit_isotonic(judge, people)
    if found is None:
        return
    error = ((mapped(found, judge) - people) ** 2).sum()
    line = fit_affine(judge, people)
    assert error <= ((mapped(line, judge) - people) ** 2).sum() + 1e-9
    assert error <= ((people.mean() - people) ** 2).sum() + 1e-9


def test_a_missing_score_stays_missing_under_a_map():
    values = mapped(AffineMap(2.0, 1.0), [0.0, math.nan, 4.0])
    assert values[0] == 1.0
    assert math.isnan(values[1])
    assert values[2] == 5.0
    assert mapped(None, [0.5]).tolist() == [0.5]


def test_scores_and_ratings_are_as_many():
    with pytest.raises(ValueError, match="as many scores as ratings"):
        fit_affine([1.0], [1.0, 2.0])
