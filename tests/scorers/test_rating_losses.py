"""Ratings as distributions over digits, and the losses that teach them; oracles are float64 and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hpedit.scorers.rating_losses import digit_loss, expected_score, preference_loss, rating_distribution

RATINGS = st.lists(st.floats(0, 5), min_size=1, max_size=6)


def test_a_rating_between_two_digits_is_spread_over_both():
    assert rating_distribution([3.4]).tolist() == pytest.approx([0, 0, 0, 0.6, 0.4, 0])


@given(RATINGS)
def test_a_distribution_has_the_raters_mean_and_sums_to_one(values: list[float]):
    target = rating_distribution(values)
    assert target.min() >= 0
    assert float(target.sum()) == pytest.approx(1, abs=1e-6)
    assert float(target @ torch.arange(6.0)) == pytest.approx(float(np.mean(values)), abs=1e-5)


def test_several_raters_average_so_that_disagreement_stays_visible():
    assert rating_distribution([1, 5]).tolist() == [0, 0.5, 0, 0, 0, 0.5]


def test_opinion_scores_to_100_become_digits():
    assert rating_distribution([100], top=100).tolist() == [0, 0, 0, 0, 0, 1]
    assert float(rating_distribution([34.49], top=100) @ torch.arange(6.0)) == pytest.approx(34.49 / 20)


@pytest.mark.parametrize("values", [[], [5.1], [-0.1], [math.nan]])
def test_what_is_no_rating_is_refused(values: list[float]):
    with pytest.raises(ValueError, match="ratings: expected"):
        rating_distribution(values)


def test_the_digit_loss_is_the_cross_entropy_over_the_whole_vocabulary():
    logits = torch.randn(4, 9, generator=torch.Generator().manual_seed(0))
    logprobs = logits.log_softmax(-1)[:, :6]
    target = torch.stack([rating_distribution([v]) for v in (0.0, 2.5, 4.9, 5.0)])
    loss, metrics = digit_loss(logprobs, target)
    z = logits.double().numpy()
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    t = target.double().numpy()
    assert float(loss) == pytest.approx(-(t * np.log(p[:, :6])).sum(1).mean(), rel=1e-5)
    assert float(metrics["mass"]) == pytest.approx(p[:, :6].sum(1).mean(), rel=1e-5)
    mean = (p[:, :6] * np.arange(6)).sum(1) / p[:, :6].sum(1)
    assert float(metrics["mae"]) == pytest.approx(np.abs(mean - t @ np.arange(6)).mean(), rel=1e-5)


def test_the_digit_loss_is_least_at_the_ratings_own_distribution():
    target = rating_distribution([1.3, 4.0])[None]
    best, _ = digit_loss(target.clamp(min=1e-30).log(), target)
    other, _ = digit_loss((0.9 * target + 0.1 / 6).log(), target)
    assert best < other


def test_the_expectation_does_not_depend_on_the_digits_mass():
    logprobs = torch.tensor([[0.0, 0.0, 0.0, 0.5, 0.5, 0.0]]).log()
    assert float(expected_score(logprobs)) == 3.5
    assert float(expected_score(logprobs - 7)) == 3.5


def test_the_preference_loss_is_bradley_terry_over_pairs_within_a_group():
    score = torch.tensor([1.0, 3.0, 2.0, 4.0])
    rating = torch.tensor([0.0, 5.0, 5.0, 1.0])
    loss, metrics = preference_loss(score, rating, ["a", "a", "b", "b"], min_gap=1.0)
    expected = np.mean([math.log1p(math.exp(-2.0)), math.log1p(math.exp(2.0))])
    assert float(loss) == pytest.approx(expected, rel=1e-6)
    assert (float(metrics["pairs"]), float(metrics["pair_accuracy"])) == (2, 0.5)


def test_pairs_closer_than_the_gap_teach_nothing_and_still_have_a_gradient():
    score = torch.tensor([1.0, 3.0], requires_grad=True)
    loss, metrics = preference_loss(score, torch.tensor([2.0, 2.4]), ["a", "a"], min_gap=0.5)
    loss.backward()
    assert float(loss.detach()) == float(metrics["pairs"]) == 0
    assert score.grad is not None
    assert score.grad.tolist() == [0, 0]
