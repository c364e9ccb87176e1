"""Pictures change their shape without changing their content."""

import numpy as np
import pytest
import torch
from PIL import Image

from hpedit.images import from_data_url, from_pil, png_bytes, png_data_url, to_float, to_pil, to_uint8


def noise(height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(
        0, 256, (3, height, width), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8
    )


def test_every_level_survives_the_way_through_float() -> None:
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(to_float(levels)), levels)
    assert to_float(levels).min() == 0
    assert to_float(levels).max() == 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_a_picture_is_rounded_to_the_nearest_level_and_clamped(dtype: torch.dtype) -> None:
    picture = torch.tensor([-0.5, 0.0, 0.4 / 255, 0.6 / 255, 127.4 / 255, 1.0, 7.0], dtype=dtype)
    assert to_uint8(picture).tolist() == [0, 0, 0, 1, 127, 255, 255]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_picture_with_holes_has_no_levels(bad: float) -> None:
    with pytest.raises(ValueError, match="NaN or infinity"):
        to_uint8(torch.tensor([0.5, bad]))


@pytest.mark.parametrize("size", [(1, 1), (7, 13), (64, 48)])
def test_png_is_lossless(size: tuple[int, int]) -> None:
    picture = noise(*size)
    assert torch.equal(from_data_url(png_data_url(picture)), picture)
    assert png_bytes(picture).startswith(b"\x89PNG")


def test_pil_sees_height_width_and_colour_where_they_are() -> None:
    picture = torch.zeros(3, 2, 5, dtype=torch.uint8)
    picture[0, 1, 4] = 200  # red in the lower right corner
    image = to_pil(picture)
    assert image.size == (5, 2)
    assert image.getpixel((4, 1)) == (200, 0, 0)
    assert torch.equal(from_pil(image), picture)


def test_pil_takes_floats_in_the_unit_range() -> None:
    assert to_pil(torch.full((3, 1, 1), 0.5)).getpixel((0, 0)) == (128, 128, 128)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK"])
def test_any_mode_becomes_three_channels(mode: str) -> None:
    image = Image.fromarray(np.full((4, 6, 3), 90, dtype=np.uint8)).convert(mode)
    tensor = from_pil(image)
    assert tensor.shape == (3, 4, 6)
    assert tensor.dtype == torch.uint8


@pytest.mark.parametrize("shape", [(4, 4), (1, 4, 4), (1, 3, 4, 4)])
def test_what_is_no_picture_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected shape \(3, H, W\)"):
        to_pil(torch.zeros(shape, dtype=torch.uint8))


def test_only_png_comes_back_from_a_url() -> None:
    with pytest.raises(ValueError, match="data:image/jpeg"):
        from_data_url("data:image/jpeg;base64,AAAA")
