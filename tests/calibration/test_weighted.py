"""A weight of m is m copies: the weighted figures are the plain ones of the data written out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpedit.calibration.metrics import FIGURES, case_rows, figures
from hpedit.calibration.weighted import weighted_figures

halves = st.integers(0, 10).map(lambda n: n / 2)
cases = st.lists(
    st.tuples(st.integers(0, 3), st.lists(st.tuples(halves, halves), min_size=1, max_size=3)),
    min_size=2,
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(cases)
def test_weights_are_copies(data):
    x = np.array([a for _, edits in data for a, _ in edits])
    y = np.array([b for _, edits in data for _, b in edits])
    rows = case_rows([str(i) for i, (_, edits) in enumerate(data) for _ in edits])
    weights = np.array([[float(times) for times, _ in data]])
    copies = [
        (a, b, f"{i}-{n}") for i, (times, edits) in enumerate(data) for n in range(times) for a, b in edits
    ]
    found = weighted_figures(x, y, rows, weights)
    expected = figures(*map(list, zip(*copies, strict=True))) if copies else dict.fromkeys(FIGURES, np.nan)
    for name in FIGURES:
        assert found[name][0] == pytest.approx(expected[name], abs=2e-5, nan_ok=True), name


def test_blocks_of_kendall_make_no_difference():
    draw = np.random.default_rng(0)
    x, y = draw.integers(0, 6, (2, 700)).astype(float)
    found = weighted_figures(x, y, np.arange(700), np.ones((1, 700)))["krcc"][0]
    assert found == pytest.approx(figures(x, y, [str(i) for i in range(700)])["krcc"], abs=1e-5)
