"""The page about a refinement claims what the report split shows, and no more."""

import pytest

from hpedit.calibration.bootstrap import Estimate
from hpedit.calibration.comparison import Comparison
from hpedit.calibration.summary import verdict

SURE, UNSURE = Estimate(0.1, 0.05, 0.15), Estimate(0.1, -0.01, 0.21)


def test_an_improvement_is_claimed_where_both_gains_are_sure():
    said = verdict(Comparison({}, SURE, SURE))
    assert said.startswith("Improved: ")
    assert "0.100 [0.050, 0.150]" in said


@pytest.mark.parametrize(("gain", "recalibrated"), [(SURE, UNSURE), (UNSURE, SURE), (UNSURE, UNSURE)])
def test_none_is_claimed_where_one_may_be_chance(gain: Estimate, recalibrated: Estimate):
    said = verdict(Comparison({}, gain, recalibrated))
    assert said.startswith("No improvement shown: ")
    assert "0.100 [-0.010, 0.210]" in said
