"""Each figure against an oracle of its own: scipy, or numbers worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hpedit.calibration.metrics import FIGURES, figures, figures_by_task, rounded

halves = st.integers(0, 10).map(lambda n: n / 2)
scored = st.lists(st.tuples(halves, halves, st.sampled_from("abc")), min_size=4, max_size=14)


def columns(rows):
    x, y, case = zip(*rows, strict=True)
    return np.array(x), np.array(y), list(case)


@settings(max_examples=40, deadline=None)
@given(scored)
def test_correlations_are_scipys(rows):
    x, y, case = columns(rows)
    found = figures(x, y, case)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert all(math.isnan(found[name]) for name in ("plcc", "srcc", "krcc"))
        return
    assert found["plcc"] == pytest.approx(stats.pearsonr(x, y)[0], abs=1e-6)
    assert found["srcc"] == pytest.approx(stats.spearmanr(x, y)[0], abs=1e-5)
    assert found["krcc"] == pytest.approx(stats.kendalltau(x, y)[0], abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(scored, st.randoms(use_true_random=False))
def test_the_order_of_the_edits_does_not_matter(rows, random):
    shuffled = random.sample(rows, len(rows))
    assert figures(*columns(rows)) == pytest.approx(figures(*columns(shuffled)), abs=1e-5, nan_ok=True)


@settings(max_examples=30, deadline=None)
@given(scored, st.floats(0.1, 3.0), st.floats(-2, 2))
def test_a_rising_line_changes_no_correlation_and_no_order(rows, slope, offset):
    x, y, case = columns(rows)
    before, after = figures(x, y, case), figures(slope * x + offset, y, case)
    for name in ("plcc", "srcc", "krcc", "pairwise", "pairwise_1", "within_case"):
        assert after[name] == pytest.approx(before[name], abs=1e-4, nan_ok=True)


@settings(max_examples=30, deadline=None)
@given(scored)
def test_kappa_is_one_minus_squared_distance_seen_over_expected(rows):
    x, y, case = columns(rows)
    a, b = np.floor(x + 0.5), np.floor(y + 0.5)
    expected = np.mean([(i - j) ** 2 for i in a for j in b])
    found = figures(x, y, case)["qwk"]
    if expected == 0:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(1 - np.mean((a - b) ** 2) / expected, abs=1e-6)


def test_halves_are_rounded_up_and_the_scale_has_ends():
    assert rounded(np.array([0.5, 1.5, 2.5, 4.49, 5.0, -0.2])).tolist() == [1, 2, 3, 4, 5, 0]


def test_a_worked_example():
    # Case a: people 1 < 3 < 4, the judge 2 = 2 < 5. Case b: people 0 < 0.5, the judge turns them round.
    found = figures([2, 2, 5, 3, 1], [1, 3, 4, 0, 0.5], ["a", "a", "a", "b", "b"])
    assert found["pairs"] == 4
    assert found["pairwise"] == pytest.approx((0.5 + 1 + 1 + 0) / 4)
    assert found["pairwise_1"] == pytest.approx((0.5 + 1 + 1) / 3)
    # Ranks 1.5, 1.5, 3 against 1, 2, 3: r = sqrt(3) / 2; reversed order: -1.
    assert found["within_case"] == pytest.approx((math.sqrt(3) / 2 - 1) / 2, abs=1e-5)
    assert found["mae"] == pytest.approx((1 + 1 + 1 + 3 + 0.5) / 5)
    assert found["bias"] == pytest.approx((1 - 1 + 1 + 3 + 0.5) / 5)
    assert found["exact"] == pytest.approx(1 / 5)  # 1 and 0.5 round to the same class
    assert found["within_1"] == pytest.approx(4 / 5)


def test_a_judge_that_ties_a_case_has_ordered_nothing():
    found = figures([2, 2, 2], [1, 3, 4], ["a", "a", "a"])
    assert (found["within_case"], found["pairwise"]) == (0.0, 0.5)


def test_missing_scores_are_left_out_and_counted():
    kept = figures([1, 2, 4], [1, 3, 4], ["a", "a", "b"])
    found = figures([1, math.nan, 2, 4], [1, 0, 3, 4], ["a", "a", "a", "b"])
    assert found.pop("missing") == 1
    assert kept.pop("missing") == 0
    assert found == pytest.approx(kept, nan_ok=True)


def test_of_nothing_every_figure_is_undefined():
    found = figures([math.nan], [3.0], ["a"])
    assert all(math.isnan(found[name]) for name in FIGURES)
    assert (found["n"], found["missing"]) == (0, 1)


def test_tasks_weigh_the_same_in_the_macro_mean():
    found = figures_by_task(
        [1, 2, 3, 5], [1, 2, 3, 4], list("abcd"), ["bokeh", "bokeh", "bokeh", "relighting"]
    )
    assert found["bokeh"]["bias"] == 0
    assert found["macro"]["bias"] == pytest.approx(0.5)
    assert found["pooled"]["bias"] == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("predicted", "human", "case", "words"),
    [([1, 2], [1], ["a"], "one length"), ([1], [math.nan], ["a"], "human: expected finite")],
)
def test_what_does_not_fit_together_is_refused(predicted, human, case, words):
    with pytest.raises(ValueError, match=words):
        figures(predicted, human, case)
