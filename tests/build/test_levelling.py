"""Shares in whole numbers, and categories as even as any choice could make them."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpedit.build.levelling import evenness, largest_total, level, quotas

weights = st.dictionaries(st.sampled_from("abcdefgh"), st.floats(0.01, 100), min_size=1)


@given(shares=weights, total=st.integers(0, 60_000))
def test_quotas_sum_to_the_total_and_are_within_one_of_their_share(shares: dict[str, float], total: int):
    given_out, whole = quotas(shares, total), sum(shares.values())
    assert sum(given_out.values()) == total
    assert all(abs(given_out[n] - total * s / whole) < 1 + 1e-6 for n, s in shares.items())


def test_quotas_of_the_paper_are_its_counts():
    counts = {"add": 7903, "background": 6506, "bokeh": 6813, "color": 6949}
    assert quotas(counts, sum(counts.values())) == counts


@given(shares=weights, data=st.data())
def test_the_largest_total_can_be_met_and_much_more_cannot(shares: dict[str, float], data: st.DataObject):
    supply = {name: data.draw(st.integers(0, 500), name) for name in shares}
    total = largest_total(shares, supply)
    assert all(q <= supply[n] for n, q in quotas(shares, max(total, 0)).items())
    # One case more for each task is beyond rounding.
    scarce = min(shares, key=lambda n: supply[n] / shares[n])
    beyond = math.ceil((supply[scarce] + 2) * sum(shares.values()) / shares[scarce])
    assert quotas(shares, beyond)[scarce] > supply[scarce]
    assert total < beyond


def squares(counts: np.ndarray) -> int:
    return int((counts.sum(axis=0) ** 2).sum())


def every_row(supply: list[int], count: int) -> list[tuple[int, ...]]:
    return [r for r in itertools.product(*(range(n + 1) for n in supply)) if sum(r) == count]


@st.composite
def problems(draw: st.DrawFn, most: int, tasks: int = 3, categories: int = 4):
    shape = (draw(st.integers(1, tasks)), draw(st.integers(1, categories)))
    cells = st.lists(st.integers(0, most), min_size=shape[0] * shape[1], max_size=shape[0] * shape[1])
    supply = np.array(draw(cells), dtype=np.int64).reshape(shape)
    wanted = [draw(st.integers(0, int(n))) for n in supply.sum(axis=1)]
    return supply, wanted


@settings(max_examples=60, deadline=None)
@given(problem=problems(most=2))
def test_no_choice_at_all_is_more_even(problem: tuple[np.ndarray, list[int]]):
    supply, wanted = problem
    rows = [every_row(s, w) for s, w in zip(supply.tolist(), wanted, strict=True)]
    best = min(squares(np.array(choice)) for choice in itertools.product(*rows))
    assert squares(level(supply, wanted)) == best


@settings(max_examples=60, deadline=None)
@given(problem=problems(most=60, tasks=8, categories=12))
def test_what_is_chosen_is_there_and_as_much_as_was_wanted(problem: tuple[np.ndarray, list[int]]):
    supply, wanted = problem
    take = level(supply, wanted)
    assert (take >= 0).all()
    assert (take <= supply).all()
    assert take.sum(axis=1).tolist() == wanted


def test_tasks_give_way_to_each_other_through_a_third():
    """The last task has category 0 alone, so the others must leave it: one through the other."""
    supply = np.array([[6, 6, 0, 0], [0, 6, 6, 0], [9, 0, 0, 0]])
    assert level(supply, [6, 6, 4]).sum(axis=0).tolist() == [6, 5, 5, 0]


def test_evenness_is_one_when_uniform_and_known_in_between():
    assert evenness([5, 5, 5]) == pytest.approx(1.0)
    assert evenness([8, 0]) == 0.0
    assert evenness([3, 1]) == pytest.approx(0.8113, abs=1e-4)  # bits of a 3:1 coin
    assert evenness([7]) == 1.0
