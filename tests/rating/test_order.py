"""Orders: complete, repeatable, and with the hidden items where they belong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpedit.rating.order import REPEAT_GAP, SOURCE, Plan, Slot, checks, questions, rater_order
from tests.rating.support import rated_case

FIRST = [Slot("first", f"c{i}", (f"k{i}",)) for i in range(100)]
SANITY = [Slot("sanity", f"c{i}", (SOURCE,)) for i in range(100)]


def slots(number: int, sides: int = 1) -> list[Slot]:
    return [Slot("first", f"c{i}", tuple(f"k{i}-{s}" for s in range(sides))) for i in range(number)]


@given(
    number=st.integers(1, 150),
    repeats=st.floats(0, 0.5),
    sanity=st.floats(0, 1),
    seed=st.integers(0, 9),
    rater=st.text(min_size=1, max_size=8),
    sides=st.sampled_from([1, 2]),
)
def test_every_item_comes_once_and_the_hidden_ones_in_their_share(
    number, repeats, sanity, seed, rater, sides
):
    first, plan = slots(number, sides), Plan(seed, repeats, sanity)
    known = [Slot("sanity", s.case_id, (SOURCE,)) for s in first]
    order = rater_order(first, known, rater, plan)
    kinds = [slot.kind for slot in order]
    assert sorted(s.key for s in order if s.kind == "first") == sorted(s.key for s in first)
    assert kinds.count("repeat") == round(repeats * number)
    assert kinds.count("sanity") == (max(1, round(sanity * number)) if sanity else 0)
    assert len({slot.key for slot in order}) == len(order)


@given(number=st.integers(2, 150), rater=st.text(min_size=1, max_size=8), sides=st.sampled_from([1, 2]))
def test_a_repeat_comes_long_after_its_first_with_its_sides_exchanged(number, rater, sides):
    order = rater_order(slots(number, sides), [], rater, Plan(repeats=0.5))
    place = {(slot.kind, slot.case_id): i for i, slot in enumerate(order)}
    for i, slot in enumerate(order):
        if slot.kind == "repeat":
            before = place["first", slot.case_id]
            assert i - before > min(REPEAT_GAP, number // 2)
            assert order[before].shown == slot.shown[::-1]


def test_an_order_is_the_raters_own_and_the_seeds():
    plan = Plan()
    anns = rater_order(FIRST, SANITY, "ann", plan)
    assert rater_order(FIRST[::-1], SANITY[::-1], "ann", plan) == anns
    assert rater_order(FIRST, SANITY, "bob", plan) != anns
    assert rater_order(FIRST, SANITY, "ann", Plan(seed=1)) != anns


def test_new_data_leave_the_old_items_in_their_order():
    small = [s for s in rater_order(FIRST[:50], [], "ann", Plan(repeats=0)) if s.kind == "first"]
    grown = rater_order(FIRST, [], "ann", Plan(repeats=0))
    assert [s for s in grown if s in set(small)] == small


def test_sides_are_drawn_by_rater_and_even_out():
    first = slots(400, sides=2)
    swapped = sum(s.shown[0].endswith("-1") for s in rater_order(first, [], "ann", Plan(repeats=0, sanity=0)))
    assert 150 < swapped < 250  # five standard deviations of a fair coin


def test_scores_are_asked_of_every_candidate_and_votes_of_every_pair():
    cases = [rated_case(0), rated_case(1, candidates=1)]
    assert len(questions(cases, "score", Plan())) == 4
    assert [len(s.shown) for s in questions(cases, "vote", Plan())] == [2, 2, 2]
    assert {s.case_id for s in questions(cases, "vote", Plan())} == {cases[0].case_id}


def test_some_pairs_of_many_are_the_same_for_all_raters():
    cases = [rated_case(n) for n in range(4)]
    some = questions(cases, "vote", Plan(pairs=2))
    assert len(some) == 8
    assert set(some) < set(questions(cases, "vote", Plan()))


def test_a_known_answer_is_the_source_itself_or_one_edit_twice():
    case = rated_case(0)
    assert [s.shown for s in checks([case], "score")] == [(SOURCE,)]
    (twice,) = checks([case], "vote")
    assert twice.shown[0] == twice.shown[1] != SOURCE


@pytest.mark.parametrize(
    ("setting", "value"), [("repeats", 0.6), ("repeats", -0.1), ("sanity", 1.5), ("pairs", -1)]
)
def test_a_setting_out_of_range_names_itself(setting, value):
    with pytest.raises(ValueError, match=f"^{setting}: wanted .* got {value}"):
        Plan(**{setting: value})
