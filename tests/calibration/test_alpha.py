"""Krippendorff's alpha against his own published example, and weights as copies."""

import numpy as np
import pytest

from hpedit.calibration.alpha import alpha, ratings_matrix, weighted_alpha

N = np.nan
# Krippendorff, "Computing Krippendorff's alpha-reliability" (2011), example C: four observers, twelve units.
PUBLISHED = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, N, N, N],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, N, 3],
        [N, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, N],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, N],
    ]
)


@pytest.mark.parametrize(("level", "expected"), [("interval", 0.849), ("ordinal", 0.815)])
def test_the_published_example(level, expected):
    assert alpha(PUBLISHED, level) == pytest.approx(expected, abs=5e-4)
    assert weighted_alpha(PUBLISHED, level, np.ones((1, 12)))[0] == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize("level", ["interval", "ordinal"])
def test_weights_are_copies(level):
    weights = np.random.default_rng(0).integers(0, 4, (5, 12))
    copies = [alpha(np.repeat(PUBLISHED, row, axis=1), level) for row in weights]
    assert weighted_alpha(PUBLISHED, level, weights.astype(float)) == pytest.approx(copies, abs=1e-9)


def test_full_agreement_is_one_and_no_spread_is_undefined():
    same = np.array([[0, 3, 5], [0, 3, 5.0]])
    assert alpha(same, "interval") == pytest.approx(1)
    assert np.isnan(alpha(np.full((2, 3), 4.0), "interval"))
    assert np.isnan(alpha(np.array([[1, 2.0], [N, N]]), "interval"))
    assert np.isnan(weighted_alpha(np.array([[1, 2.0], [N, N]]), "ordinal", np.ones((2, 2)))).all()


def test_ratings_are_laid_out_by_rater():
    matrix = ratings_matrix([("ann", "cem"), ("bob",)], [(1, 2), (3,)])
    np.testing.assert_equal(matrix, [[1, N], [N, 3], [2, N]])
