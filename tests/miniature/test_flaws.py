"""Flaws: nothing at severity 0 where they are graded from the exact edit, and drawn without looking at the case."""

import numpy as np
import pytest

from hpedit.miniature.examples import example
from hpedit.miniature.flaws import FLAWS, draw_edit, ghost, not_applied, soften, spill, tint, wrong_target


@pytest.mark.parametrize("flaw", [ghost, spill, tint])
def test_severity_0_is_the_exact_edit(flaw):
    case = example(0)
    assert np.allclose(flaw(case, 0.0), case.target, atol=1e-6)


def test_full_severity_is_what_the_name_says():
    case = example(1)
    assert np.array_equal(not_applied(case, 1.0), case.source)
    assert np.array_equal(wrong_target(case, 1.0), case.wrong)
    assert np.abs(np.diff(soften(case, 1.0))).max() < 0.5 * np.abs(np.diff(case.target)).max()


@pytest.mark.parametrize("flaw", FLAWS)
def test_flawed_edits_are_pictures(flaw):
    for case in map(example, range(16)):
        edit = FLAWS[flaw][0](case, 1.0)
        assert edit.shape == (3, 64, 64)
        assert edit.min() > -1e-5
        assert edit.max() < 1 + 1e-5


def test_the_mixture_holds_the_asked_share_of_exact_edits():
    rng, case = np.random.default_rng(0), example(8)
    exact = [np.array_equal(draw_edit(case, rng, 0.5), case.target) for _ in range(600)]
    assert 0.42 < np.mean(exact) < 0.58
    assert all(np.array_equal(draw_edit(case, rng, 1.0), case.target) for _ in range(20))


def test_the_shares_of_the_flaws_add_up():
    assert sum(share for _, share in FLAWS.values()) == pytest.approx(1)
