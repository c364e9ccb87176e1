"""A refined prompt is compared with what is cheaper, pair by pair, and through maps that are fitted elsewhere."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from hpedit.calibration.asking import Asked, prompted
from hpedit.calibration.comparison import (
    REFINED,
    TASK_BLIND,
    UNREFINED,
    UNREFINED_AFFINE,
    Comparison,
    compare,
    paired_gain,
)
from hpedit.calibration.maps import MapKind
from hpedit.calibration.ratings import RatedEdit
from hpedit.scorers.hp_scorer import HPScorer
from hpedit.scorers.score_map import AffineMap
from tests.calibration.stand_in import GHOST, SHADOW, FaultBackend, plain_prompt, rated
from tests.support.rated import rated_edit

BLIND, SEEING = plain_prompt("Is the picture nice?"), plain_prompt(GHOST, SHADOW)
BASE = replace(plain_prompt(), name="base")


def compared(edits: list[RatedEdit], score_map: MapKind | None = None) -> Comparison:
    asked = Asked(prompted(HPScorer(FaultBackend())))
    return compare(BLIND, SEEING, BASE, edits[:30], edits[30:], asked, score_map)


def test_it_is_compared_with_what_is_cheaper():
    found = compared(rated(60))
    assert list(found.arms) == [UNREFINED, TASK_BLIND, UNREFINED_AFFINE, REFINED]
    assert isinstance(found.arms[UNREFINED_AFFINE].prompt.map, AffineMap)
    assert (found.arms[TASK_BLIND].prompt.name, found.arms[TASK_BLIND].prompt.checks) == (BLIND.name, ())
    mae = {name: arm.figures["mae"].value for name, arm in found.arms.items()}
    assert mae[REFINED] < mae[UNREFINED_AFFINE] < mae[UNREFINED] == mae[TASK_BLIND]
    assert found.improved


def test_a_map_counts_for_the_final_prompt_and_not_for_the_gain():
    plain, mapped = compared(rated(60)), compared(rated(60), "affine")
    assert isinstance(mapped.final.prompt.map, AffineMap)
    assert plain.final.prompt.map is None
    assert (mapped.gain, mapped.gain_recalibrated) == (plain.gain, plain.gain_recalibrated)


def test_a_map_that_cannot_rise_is_left_out(recwarn: pytest.WarningsRecorder):
    contrary = [replace(e, ratings=tuple(5.0 - r for r in e.ratings)) for e in rated(60)]
    found = compared(contrary, "affine")
    assert list(found.arms) == [UNREFINED, TASK_BLIND, REFINED]
    assert found.final.prompt == SEEING
    assert any("no affine map fits" in str(warning.message) for warning in recwarn)
    # Recalibrated, both know nothing: neither is better.
    assert found.gain_recalibrated.value == 0
    assert not found.improved


def test_the_gain_is_paired_with_students_interval():
    draw = np.random.default_rng(0)
    edits = [rated_edit(f"case-{i}", 5.0) for i in range(12)]
    before = draw.uniform(0, 4, 12)
    after = before + draw.uniform(-0.5, 1.0, 12)
    gain = paired_gain(edits, before, after)
    interval = stats.ttest_rel(after / 5, before / 5).confidence_interval(0.95)
    assert gain.value == pytest.approx((after - before).mean() / 5)
    assert (gain.low, gain.high) == pytest.approx((interval.low, interval.high))


def test_an_edit_that_one_of_the_two_lacks_is_no_pair():
    edits = [rated_edit(f"case-{i}", 5.0) for i in range(4)]
    gain = paired_gain(edits, np.array([1.0, 2.0, np.nan, 3.0]), np.array([1.5, np.nan, 5.0, 3.5]))
    assert gain.value == pytest.approx(0.1)
    assert (gain.low, gain.high) == pytest.approx((0.1, 0.1))


def test_no_two_cases_no_claim():
    edits = [rated_edit("one", 5.0, cand_id=f"k{i}") for i in range(3)]
    gain = paired_gain(edits, np.zeros(3), np.ones(3))
    assert gain.low == -np.inf
