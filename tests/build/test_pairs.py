"""A scored case as a preference pair."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpedit.build.pairs import preference
from hpedit.cases import HumanRating, ScoreRecord
from tests.support.cases import grey_case, scored


def test_the_best_is_preferred_over_the_worst():
    case = grey_case(1, **scored(3.0, None, 4.5, 1.0))
    pair = preference(case, 1.0)
    assert pair is not None
    assert pair.preferred.read() == case.candidates[2].image.read()
    assert pair.rejected.read() == case.candidates[3].image.read()
    assert [score.value for score in pair.case.scores] == [4.5, 1.0]
    assert pair.case.candidates == ()
    assert pair.case.source is case.source


@given(st.lists(st.one_of(st.none(), st.floats(0, 5)), max_size=5), st.floats(0.01, 5))
def test_there_is_a_pair_exactly_where_two_scores_are_far_enough_apart(values, gap):
    had = [v for v in values if v is not None]
    wanted = any(a - b >= gap for a in had for b in had)
    pair = preference(grey_case(0, **scored(*values)), gap)
    assert (pair is not None) == wanted
    if pair is not None:
        high, low = (score.value for score in pair.case.scores)
        assert (high, low) == (max(had), min(had))


def test_scores_of_anything_but_candidates_and_older_scores_do_not_count():
    facts = scored(3.0, 3.5)
    others = (ScoreRecord("k0", "hp", value=0.0), ScoreRecord("target", "people", value=5.0))
    case = grey_case(0, **(facts | {"scores": (*others, *facts["scores"])}))
    assert preference(case, 1.0) is None
    assert preference(case, 0.5) is not None


def test_ratings_of_edits_that_are_not_in_the_pair_are_left_out():
    case = replace(grey_case(0, **scored(1.0, 5.0)), humans=(HumanRating("k0", "ann", "overall", 2.0),))
    pair = preference(case, 1.0)
    assert pair is not None
    assert pair.case.humans == ()
    assert pair.case.weight == pytest.approx(1)
