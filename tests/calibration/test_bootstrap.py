"""Intervals hold the truth about as often as they say, also when edits of a case are alike."""

import math

import numpy as np

from hpedit.calibration.bootstrap import Estimate, case_weights, estimate, plain
from hpedit.calibration.weighted import pearson, weighted_mean


def test_every_resample_draws_as_many_cases_as_there_are():
    weights = case_weights(7, 50, seed=3)
    assert weights.shape == (50, 7)
    assert (weights.sum(axis=1) == 7).all()
    assert (weights == case_weights(7, 50, seed=3)).all()
    assert (weights != case_weights(7, 50, seed=4)).any()


def covered(draw, experiments=200):
    """Return how often the interval of a mean holds the true 0: 40 cases of 4 edits that share half their variance."""
    rows, hits, naive = np.repeat(np.arange(40), 4), 0, 0
    for seed in range(experiments):
        gap = np.repeat(draw.normal(0, 1, 40), 4) + draw.normal(0, 1, 160)
        clustered = estimate(gap.mean(), weighted_mean(gap, case_weights(40, 300, seed)[:, rows]))
        alone = estimate(gap.mean(), weighted_mean(gap, case_weights(160, 300, seed)))
        hits += clustered.low <= 0 <= clustered.high
        naive += alone.low <= 0 <= alone.high
    return hits / experiments, naive / experiments


def test_clustered_intervals_cover_where_naive_ones_do_not():
    clustered, naive = covered(np.random.default_rng(0))
    assert 0.89 <= clustered <= 0.99
    assert naive < clustered - 0.08


def test_intervals_of_a_correlation_cover():
    draw, truth, hits = np.random.default_rng(1), 0.8, 0
    for seed in range(200):
        x = draw.normal(size=80)
        y = truth * x + math.sqrt(1 - truth**2) * draw.normal(size=80)
        weights = case_weights(80, 300, seed)
        value = float(pearson(x, y, np.ones((1, 80)))[0])
        found = estimate(value, pearson(x, y, weights))
        hits += found.low <= truth <= found.high
    assert 0.88 <= hits / 200 <= 0.99


def test_a_figure_that_many_resamples_do_not_define_has_no_interval():
    found = estimate(0.5, np.array([0.4, 0.6, np.nan, np.nan]))
    assert found.value == 0.5
    assert math.isnan(found.low)
    assert str(found) == "0.500"
    assert str(Estimate(math.nan)) == "n/a"


def test_json_has_null_for_what_is_not_defined():
    assert plain({"a": [math.nan, 1.0, (math.inf, "x")]}) == {"a": [None, 1.0, [None, "x"]]}
