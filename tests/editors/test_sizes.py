import math

import pytest
from diffusers.pipelines.qwenimage.pipeline_qwenimage_edit_plus import calculate_dimensions
from hypothesis import given
from hypothesis import strategies as st

from hpedit.editors.sizes import bucket_size, floored_size, scaled_size, target_size

sides = st.integers(min_value=64, max_value=6000)
multiples = st.sampled_from([16, 32])


@given(sides, sides, st.sampled_from([512 * 512, 1024 * 1024]), multiples)
def test_a_bucket_keeps_shape_and_area_as_well_as_its_steps_allow(
    width: int, height: int, area: int, multiple: int
) -> None:
    aspect = width / height
    if not 1 / 4 <= aspect <= 4:
        return
    h, w = target_size(width, height, area, multiple)
    assert h % multiple == w % multiple == 0
    # One step of the shorter side is the largest relative error there can be.
    step = multiple / min(math.sqrt(area / aspect), math.sqrt(area * aspect))
    assert abs(math.log(w / h / aspect)) <= 2 * step
    assert abs(math.log(w * h / area)) <= 2 * step


@given(sides, sides, st.integers(min_value=256, max_value=2048))
def test_a_bucket_is_the_best_of_all_sizes(width: int, height: int, side: int) -> None:
    aspect, area = width / height, side * side
    if not 1 / 4 <= aspect <= 4:
        return

    def error(h: int, w: int) -> float:
        return abs(math.log(w / h / aspect)) + abs(math.log(w * h / area))

    h, w = bucket_size(aspect, area, 16)
    grid = range(16, 2 * 2048 + 64, 16)
    near = [(a, b) for a in grid if abs(a - h) <= 48 for b in grid if abs(b - w) <= 48]
    assert error(h, w) <= min(error(a, b) for a, b in near) + 1e-12


def test_buckets_of_common_photographs() -> None:
    assert bucket_size(1.0, 512 * 512, 16) == (512, 512)
    assert target_size(4000, 3000, 1024 * 1024, 16) == (880, 1184)
    assert target_size(3000, 4000, 1024 * 1024, 16) == (1184, 880)
    assert bucket_size(1.0, 64 * 64, 16) == (64, 64)
    assert bucket_size(50.0, 64 * 64, 16) == (16, 448)


@pytest.mark.parametrize(("aspect", "area", "multiple"), [(0, 100, 16), (1.0, 0, 16), (1.0, 100, 0)])
def test_a_bucket_of_nothing_is_refused(aspect: float, area: int, multiple: int) -> None:
    with pytest.raises(ValueError, match="wanted positive"):
        bucket_size(aspect, area, multiple)


@given(sides, sides, st.sampled_from([64 * 64, 384 * 384, 1024 * 1024]))
def test_inputs_are_scaled_as_the_qwen_pipeline_scales_them(width: int, height: int, area: int) -> None:
    expected_width, expected_height = calculate_dimensions(area, width / height)
    if expected_width and expected_height:
        assert scaled_size(width, height, area) == (expected_height, expected_width)


def test_an_input_never_shrinks_to_nothing() -> None:
    assert scaled_size(1000, 10, 64 * 64) == (32, 640)


def test_a_side_too_short_for_one_step_is_refused() -> None:
    assert floored_size(1920, 1080, 1024 * 1024) == (768, 1360)
    with pytest.raises(ValueError, match="too few"):
        floored_size(2000, 20, 32 * 32)
