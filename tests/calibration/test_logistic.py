"""The four-parameter map: found again when it is there, refused when it is not."""

import numpy as np
import pytest

from hpedit.calibration.logistic import fit_logistic


def plcc(x, y):
    return float(np.corrcoef(x, y)[0, 1])


def test_a_logistic_is_found_again():
    x = np.linspace(0, 5, 40)
    y = 0.5 + 4 / (1 + np.exp(-(x - 3) / 0.4))
    found = fit_logistic(x, y)
    assert found.failure is None
    assert (found.low, found.high, found.centre, found.width) == pytest.approx((0.5, 4.5, 3, 0.4), abs=1e-3)
    assert found(x) == pytest.approx(y, abs=1e-3)


def test_the_map_helps_a_bent_judge_and_harms_no_straight_one():
    draw = np.random.default_rng(0)
    x = draw.uniform(0, 5, 200)
    bent = np.clip(5 / (1 + np.exp(-(x - 2.5) / 0.3)) + draw.normal(0, 0.1, 200), 0, 5)
    straight = np.clip(x + draw.normal(0, 0.3, 200), 0, 5)
    for y, least_gain in ((bent, 0.05), (straight, -0.002)):
        found = fit_logistic(x, y)
        gain = plcc(found(x), y) - plcc(x, y)
        assert gain > least_gain


@pytest.mark.parametrize(
    ("x", "y"), [([1, 2, 3], [1, 2, 3]), ([2, 2, 2, 2, 2], [1, 2, 3, 4, 5]), ([1, 2, 3, 4, 5], [3] * 5)]
)
def test_without_data_for_it_the_map_is_the_identity_and_says_why(x, y):
    found = fit_logistic(np.array(x, float), np.array(y, float))
    assert found.failure
    assert found(np.array([1.5])) == pytest.approx(1.5)


def test_a_judge_that_falls_is_not_turned_round():
    x = np.linspace(0, 5, 30)
    assert "falls" in (fit_logistic(x, 5 - x).failure or "")
