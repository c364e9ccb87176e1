"""Which cases training has use for, and how much."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpedit.build.hardness import Difficulty, Rule, figure, levelled
from hpedit.cases import ScoreRecord

SURE_FIVE = (0.0, 0.0, 0.0, 0.0, 0.1, 0.9)
TORN = (0.0, 0.0, 0.45, 0.0, 0.0, 0.55)  # likeliest 5, expected 3.65


def bare(*values: float) -> list[ScoreRecord]:
    return [ScoreRecord(f"k{i}", "hp", value=value) for i, value in enumerate(values)]


def told(*dists: tuple[float, ...]) -> list[ScoreRecord]:
    means = [sum(digit * p for digit, p in enumerate(dist)) for dist in dists]
    return [
        ScoreRecord(f"k{i}", "hp", value=m, dist=d) for i, (m, d) in enumerate(zip(means, dists, strict=True))
    ]


def test_the_papers_rule_drops_what_scores_five_and_nothing_else():
    assert [Rule().judge(bare(float(digit))) for digit in range(6)] == ["kept"] * 5 + ["solved"]


def test_the_same_scores_are_solved_by_argmax_and_hard_by_expectation():
    assert Rule(by="argmax").judge(told(TORN)) == "solved"
    assert Rule(by="expectation", solved=4.5).judge(told(TORN)) == "kept"
    assert Rule(by="p5", solved=0.6).judge(told(TORN)) == "kept"
    assert Rule(by="p5", solved=0.5).judge(told(TORN)) == "solved"
    assert Rule(by="p5", solved=0.6).judge(told(SURE_FIVE)) == "solved"


@pytest.mark.parametrize(("over", "verdict"), [("best", "solved"), ("mean", "kept"), ("worst", "kept")])
def test_one_perfect_candidate_solves_a_case_only_by_its_best(over, verdict):
    assert Rule(over=over).judge(bare(5.0, 2.0)) == verdict


def test_a_case_that_only_its_worst_candidate_fails_is_solved_by_mean_but_not_by_worst():
    assert Rule(by="expectation", over="mean", solved=4.0).judge(bare(5.0, 5.0, 2.0)) == "solved"
    assert Rule(by="expectation", over="worst", solved=4.0).judge(bare(5.0, 5.0, 2.0)) == "kept"


def test_hopeless_cases_are_those_whose_best_is_below_the_floor():
    rule = Rule(hopeless=1.0)
    assert rule.judge(bare(0.2, 0.99)) == "hopeless"
    assert rule.judge(bare(0.2, 1.0)) == "kept"


def test_candidates_that_are_alike_teach_nothing():
    rule = Rule(min_spread=0.5)
    assert rule.judge(bare(3.0, 3.4)) == "alike"
    assert rule.judge(bare(3.0, 3.5)) == "kept"
    assert rule.judge(bare(3.0)) == "alike"


def test_a_case_without_scores_cannot_be_judged():
    assert Rule(solved=None).judge([]) == "unscored"


def test_probabilities_that_nobody_gave_are_asked_for():
    with pytest.raises(ValueError, match=r"filter\.rule\.by: p5 wants probabilities.*hp gave a bare score"):
        Rule(by="p5", solved=0.9).judge(bare(5.0))


@given(st.floats(0, 5))
def test_a_bare_score_stands_for_its_nearest_digit(value):
    nearest = figure(bare(value)[0], "argmax")
    assert nearest in range(6)
    assert abs(nearest - value) <= 0.5


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"by": "p5"}, r"rule\.solved: expected a value in \(0, 1\] by p5, got 5"),
        ({"solved": 6.0}, r"rule\.solved: .* \(0, 5\] by argmax, got 6"),
        ({"hopeless": -1.0}, r"rule\.hopeless"),
        ({"min_spread": 9.0}, r"rule\.min_spread"),
    ],
)
def test_a_rule_that_cannot_be_is_named(settings, words):
    with pytest.raises(ValueError, match=words):
        Rule(**settings)


scores = st.lists(st.floats(0, 5), min_size=1, max_size=8)


@given(scores, st.floats(0.01, 1), st.floats(0, 1))
def test_weights_lie_between_least_and_one_and_are_the_same_mirrored(values, least, by_spread):
    difficulty = Difficulty(least, by_spread)
    weight = difficulty.weight(values)
    assert least - 1e-9 <= weight <= 1 + 1e-9
    assert weight == pytest.approx(difficulty.weight([5 - v for v in values]))


def test_weights_grow_with_distance_from_both_ends():
    weights = [Difficulty().weight([v]) for v in (0.0, 1.0, 2.0, 2.5)]
    assert all(a < b for a, b in pairwise(weights))
    assert Difficulty(least=0.1).weight([0.0]) == Difficulty(least=0.1).weight([5.0]) == pytest.approx(0.1)
    assert Difficulty(by_spread=0.0).weight([2.5]) == 1


@given(st.floats(0, 2.5), st.floats(0, 2.5))
def test_weights_grow_with_spread_at_the_same_mean(a, b):
    narrow, wide = sorted((a, b))
    weight = [Difficulty(by_spread=0.7).weight([2.5 - half, 2.5 + half]) for half in (narrow, wide)]
    assert weight[0] <= weight[1] + 1e-12
    assert Difficulty(by_spread=1.0).weight([0.0, 5.0]) == 1


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=50))
def test_levelled_weights_keep_their_proportions_and_average_one(weights):
    level = levelled(weights)
    assert sum(level) / len(level) == pytest.approx(1)
    assert all(a * level[0] == pytest.approx(b * weights[0]) for a, b in zip(weights, level, strict=True))


def test_difficulty_that_cannot_be_is_named():
    with pytest.raises(ValueError, match=r"filter\.difficulty: expected least in \(0, 1\]"):
        Difficulty(least=0.0)
