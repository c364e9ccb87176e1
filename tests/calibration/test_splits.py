"""Rated cases are cut in three: never one case in two parts, every task and score level in each."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpedit.calibration.ratings import RatedEdit
from hpedit.calibration.splits import Split, split_cases
from hpedit.cases import Candidate, Case, Picture
from hpedit.tasks import TASKS

PICTURE = Picture(b"")


def edits_of(case_id: str, task: str, scores: list[float]) -> list[RatedEdit]:
    candidates = tuple(Candidate(f"k{i}", PICTURE) for i in range(len(scores)))
    case = Case(case_id, task, "Do it.", PICTURE, candidates=candidates)
    return [RatedEdit(case, c, task, ("ann",), (s,)) for c, s in zip(candidates, scores, strict=True)]


case = st.tuples(st.sampled_from(TASKS[:3]), st.lists(st.floats(0, 5), min_size=1, max_size=3))


@st.composite
def rated(draw: st.DrawFn) -> list[RatedEdit]:
    cases = draw(st.lists(case, min_size=4, max_size=60))
    return [e for i, (task, scores) in enumerate(cases) for e in edits_of(f"case-{i}", task, scores)]


def parts(split: Split) -> tuple[tuple[RatedEdit, ...], ...]:
    return split.optimise, split.select, split.report


@given(rated(), st.integers(0, 3))
def test_every_edit_is_in_one_part_and_no_case_in_two(edits: list[RatedEdit], seed: int):
    split = split_cases(edits, seed=seed)
    names = Counter(edit.name for part in parts(split) for edit in part)
    assert names == Counter(edit.name for edit in edits)
    ids = [{edit.case.case_id for edit in part} for part in parts(split)]
    assert sum(map(len, ids)) == len(set.union(*ids))


@given(rated(), st.randoms(use_true_random=False))
def test_the_order_of_the_records_does_not_matter(edits: list[RatedEdit], dice: random.Random):
    shuffled = edits.copy()
    dice.shuffle(shuffled)
    assert split_cases(shuffled) == split_cases(edits)


@given(rated())
def test_parts_have_their_shares_of_the_cases(edits: list[RatedEdit]):
    split = split_cases(edits)
    cases = len({edit.case.case_id for edit in edits})
    for part, share in zip(parts(split), (0.5, 0.25, 0.25), strict=True):
        assert abs(len({edit.case.case_id for edit in part}) - share * cases) < 1


def test_every_task_and_score_level_is_in_every_part():
    edits = [
        edit
        for task in TASKS
        for level in range(5)
        for i in range(8)
        for edit in edits_of(f"{task}-{level}-{i}", task, [level + i / 10])
    ]
    for part in parts(split_cases(edits)):
        strata = Counter((edit.task, int(edit.mean)) for edit in part)
        assert len(strata) == len(TASKS) * 5
        assert max(strata.values()) - min(strata.values()) <= 1


def test_another_seed_is_another_split():
    edits = [edit for i in range(40) for edit in edits_of(f"case-{i}", TASKS[0], [i / 8])]
    assert split_cases(edits, seed=1) != split_cases(edits, seed=2)


@pytest.mark.parametrize("shares", [(0.5, 0.5, 0.0), (0.5, 0.25, 0.5), (1.2, -0.1, -0.1)])
def test_shares_that_are_none_are_refused(shares: tuple[float, float, float]):
    with pytest.raises(ValueError, match="shares: expected three positive numbers that sum to 1"):
        split_cases(edits_of("a", TASKS[0], [1.0]), shares)


def test_too_few_cases_are_refused_by_their_number():
    edits = edits_of("a", TASKS[0], [1.0, 2.0]) + edits_of("b", TASKS[0], [1.0])
    with pytest.raises(ValueError, match=r"2 rated cases give 1/1/0"):
        split_cases(edits)
