import math

import pytest
import torch
from torch import nn

from hpedit.modules.ratio_check import TOLERANCE, check_ratio, default_tolerance, ratio_error


def test_the_error_is_the_largest_distance_of_a_ratio_from_one():
    log_ratio = torch.tensor([0.0, math.log(1.5), math.log(0.9)])
    assert float(ratio_error(log_ratio, torch.ones(3))) == pytest.approx(0.5)


def test_rows_of_weight_zero_do_not_count():
    log_ratio = torch.tensor([0.0, 3.0])
    assert float(ratio_error(log_ratio, torch.tensor([1.0, 0.0]))) == 0
    assert float(ratio_error(log_ratio, torch.zeros(2))) == 0


def test_an_error_within_the_tolerance_passes():
    check_ratio(1e-4, 1e-4)


@pytest.mark.parametrize("error", [1.1e-4, math.inf, math.nan])
def test_an_error_beyond_it_stops_with_flag_and_causes(error: float):
    with pytest.raises(
        RuntimeError, match=r"(?s)--model\.ratio_tolerance.*precision.*dropout.*EMA"
    ) as stopped:
        check_ratio(error, 1e-4)
    assert f"{error:.3g}" in str(stopped.value)


def test_the_tolerance_is_that_of_the_coarsest_format_in_the_forward_pass():
    fp32, bf16 = nn.Linear(1, 1), nn.Linear(1, 1).bfloat16()
    assert default_tolerance("32-true", fp32) == TOLERANCE[torch.float32]
    assert default_tolerance("bf16-mixed", fp32) == TOLERANCE[torch.bfloat16]
    assert default_tolerance("16-mixed", fp32) == TOLERANCE[torch.float16]
    assert default_tolerance("32-true", nn.Sequential(fp32, bf16)) == TOLERANCE[torch.bfloat16]
