"""A fitted map keeps the order of scores and stays on the scale."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpedit.scorers.score_map import AffineMap, IsotonicMap

SCORES = st.floats(0, 5)
KNOTS = st.lists(st.tuples(SCORES, SCORES), min_size=2, max_size=8, unique_by=lambda knot: knot[0])


@given(KNOTS, SCORES)
def test_an_isotonic_map_is_linear_interpolation(knots: list[tuple[float, float]], score: float) -> None:
    xs, ys = (tuple(sorted(column)) for column in zip(*knots, strict=True))
    assert IsotonicMap(xs, ys)(score) == pytest.approx(float(np.interp(score, xs, ys)), abs=1e-9)


@given(st.floats(0.01, 10), st.floats(-5, 5), SCORES)
def test_an_affine_map_is_clamped_to_the_scale(slope: float, intercept: float, score: float) -> None:
    assert AffineMap(slope, intercept)(score) == np.clip(slope * score + intercept, 0, 5)


@given(KNOTS, SCORES, SCORES)
def test_no_map_turns_an_order_round(knots: list[tuple[float, float]], a: float, b: float) -> None:
    xs, ys = (tuple(sorted(column)) for column in zip(*knots, strict=True))
    mapped = IsotonicMap(xs, ys)
    low, high = sorted((a, b))
    assert mapped(low) <= mapped(high) + 1e-12
