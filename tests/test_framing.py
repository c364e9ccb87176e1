"""Pictures are cut to the nearest shape and never squashed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hpedit.framing import ASPECTS, Frame, fit

sides = st.integers(40, 400)


def disc(width, height, diameter):
    """A white disc in the middle of a black picture, drawn without anti-aliasing."""
    y, x = np.mgrid[:height, :width] + 0.5
    inside = (x - width / 2) ** 2 + (y - height / 2) ** 2 <= (diameter / 2) ** 2
    return Image.fromarray((inside * 255).astype(np.uint8))


@settings(max_examples=40, deadline=None)
@given(sides, sides, st.sampled_from([(64, 64), (96, 64), (48, 112), (128, 80)]))
def test_a_disc_stays_round_and_in_the_middle(width, height, size):
    diameter = 0.9 * min(width, height, width * size[0] / size[1], height * size[1] / size[0])
    out = fit(disc(width, height, diameter), size)[0]
    assert out.shape == size
    rows, columns = out.sum(1), out.sum(0)
    extent_y, extent_x = float(rows.max() and out[:, size[1] // 2].sum()), float(out[size[0] // 2].sum())
    assert abs(extent_x - extent_y) <= 2 + 0.03 * extent_x
    assert abs(float((columns * np.arange(size[1])).sum() / columns.sum()) - (size[1] - 1) / 2) < 0.75
    assert abs(float((rows * np.arange(size[0])).sum() / rows.sum()) - (size[0] - 1) / 2) < 0.75


def test_a_picture_of_the_right_shape_loses_nothing():
    levels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    out = fit(Image.fromarray(levels), (64, 96))
    assert (out.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8).tolist() == levels.tolist()


@settings(max_examples=40, deadline=None)
@given(sides, sides)
def test_a_picture_goes_where_it_loses_least(width, height):
    frame = Frame(ASPECTS, 512, 512, 16)

    def kept(aspect):
        h, w = frame.edit_size(aspect)
        ratio = (w / h) / (width / height)
        return min(ratio, 1 / ratio)

    assert kept(frame.nearest((height, width))) == pytest.approx(max(map(kept, ASPECTS)))


def test_sizes_keep_area_and_multiple():
    frame = Frame(ASPECTS, 512, 256, 32)
    for aspect in ASPECTS:
        for (height, width), side in ((frame.edit_size(aspect), 512), (frame.source_size(aspect), 256)):
            assert height % 32 == width % 32 == 0
            assert abs(height * width / side**2 - 1) < 0.2


def test_aspects_that_come_to_one_size_are_one_bucket():
    frame = Frame(("1:1", "5:4", "4:5"), 32, 32, 16)
    assert {frame.nearest(size) for size in ((100, 100), (100, 104), (104, 100))} == {"1:1"}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"aspects": ()}, "buckets: expected at least one"),
        ({"aspects": ("1:1", "4/3")}, r"buckets: .* got '4/3'"),
        ({"aspects": ("0:3",)}, "buckets"),
        ({"resolution": 8}, "resolution: expected at least size_multiple 16, got 8"),
        ({"source_resolution": 8}, "source_resolution"),
    ],
)
def test_a_wrong_shape_names_the_flag(settings, words):
    defaults = {"aspects": ("1:1",), "resolution": 64, "source_resolution": 64, "multiple": 16}
    with pytest.raises(ValueError, match=words):
        Frame(**(defaults | settings))
