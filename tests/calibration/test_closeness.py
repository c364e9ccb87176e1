"""Closeness to people's scores, its error by case, and the shortest list that is as good as the best."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpedit.calibration.closeness import (
    Closeness,
    closeness,
    clustered_mean,
    item_closeness,
    shortest_near_best,
)
from hpedit.scorers.base import Score
from tests.support.rated import rated_edit

values = st.floats(0, 1, allow_nan=False)


def test_a_perfect_score_is_one_and_the_worst_is_zero():
    assert item_closeness(3.5, 3.5) == 1.0
    assert item_closeness(0.0, 5.0) == 0.0
    assert math.isnan(item_closeness(math.nan, 5.0))


def test_a_missing_score_is_counted_and_never_zero():
    edits = [rated_edit("a", 4.0), rated_edit("b", 4.0), rated_edit("c", 1.0)]
    close = closeness(edits, [Score(4.0), Score.missing("gone"), Score(2.0)])
    assert close.mean == pytest.approx((1.0 + 0.8) / 2)
    assert (close.scored, close.missing, close.failure) == (2, 1, "gone")
    assert not close.sound


@given(st.lists(values, min_size=2, max_size=30))
def test_with_one_edit_a_case_the_error_is_the_usual_one(items: list[float]):
    mean, se = clustered_mean(items, [f"case-{i}" for i in range(len(items))])
    assert mean == pytest.approx(np.mean(items))
    assert se == pytest.approx(np.std(items, ddof=1) / math.sqrt(len(items)), abs=1e-12)


@given(st.lists(values, min_size=2, max_size=10), st.integers(2, 5))
def test_copies_of_an_edit_in_its_case_tell_nothing_new(items: list[float], copies: int):
    cases = [f"case-{i}" for i in range(len(items))]
    once = clustered_mean(items, cases)
    assert clustered_mean(items * copies, cases * copies) == pytest.approx(once, abs=1e-12)


def test_one_case_has_no_error_to_speak_of():
    assert clustered_mean([0.2, 0.8], ["a", "a"]) == (0.5, math.inf)
    assert clustered_mean([math.nan], ["a"])[1] == math.inf


def candidate(mean: float, se: float = 0.05, missing: int = 0) -> Closeness:
    return Closeness(mean, se, scored=20 - missing, missing=missing, failure="503")


def test_the_shortest_list_within_an_error_of_the_best_is_chosen():
    candidates = {
        (): candidate(0.70),
        ("one?",): candidate(0.86),
        ("one?", "two?"): candidate(0.90),
        ("one?", "two?", "three?"): candidate(0.88),
    }
    assert shortest_near_best(candidates) == ("one?",)
    assert shortest_near_best({**candidates, (): candidate(0.86)}) == ()


def test_of_equally_many_checks_the_fewer_letters_win():
    candidates = {("much longer?",): candidate(0.9), ("short?",): candidate(0.89)}
    assert shortest_near_best(candidates) == ("short?",)


def test_a_list_under_which_edits_fail_is_passed_over():
    candidates = {("flees?",): candidate(0.99, missing=8), ("stays?",): candidate(0.7)}
    assert shortest_near_best(candidates) == ("stays?",)
    with pytest.raises(ValueError, match="8 of 20 edits could not be scored, more than 20%: 503"):
        shortest_near_best({("flees?",): candidate(0.99, missing=8)})
