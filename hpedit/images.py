"""Pictures as float tensor, uint8 tensor, PIL image and PNG data URL. Only rounding to 256 levels loses anything."""

from __future__ import annotations

import base64
import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor

PNG_URL = "data:image/png;base64,"


def to_uint8(images: Tensor) -> Tensor:
    """Round pictures in [0, 1] to the nearest of 256 levels, clamping what lies outside.

    Any shape, any float type. Raises ValueError on NaN or infinity, which have no level.
    """
    if not torch.isfinite(images).all():
        raise ValueError("pictures: expected finite values in [0, 1], got NaN or infinity")
    return images.detach().float().mul(255).round_().clamp_(0, 255).to(torch.uint8)


def to_float(images: Tensor) -> Tensor:
    """Map uint8 levels to float32 in [0, 1]; ``to_uint8`` gives the same levels back."""
    return images.float() / 255


def to_pil(image: Tensor) -> Image.Image:
    """Turn one picture (3, H, W), uint8 or float in [0, 1], into an RGB image."""
    if image.ndim != 3 or image.shape[0] != 3:
        raise ValueError(f"picture: expected shape (3, H, W), got {tuple(image.shape)}")
    levels = to_uint8(image) if image.is_floating_point() else image
    return Image.fromarray(levels.permute(1, 2, 0).contiguous().cpu().numpy())


def from_pil(image: Image.Image) -> Tensor:
    """Turn an image of any mode into uint8 (3, H, W) RGB."""
    levels = np.array(image.convert("RGB"))
    return torch.from_numpy(levels).permute(2, 0, 1).contiguous()


def png_bytes(image: Tensor) -> bytes:
    """Encode one uint8 picture (3, H, W) as PNG, without loss."""
    buffer = io.BytesIO()
    # Level 1 is several times faster than the default and costs little size; a scorer waits for this.
    to_pil(image).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def png_data_url(image: Tensor) -> str:
    """Encode one uint8 picture (3, H, W) as a data URL, the form chat APIs take."""
    return PNG_URL + base64.b64encode(png_bytes(image)).decode("ascii")


def from_data_url(url: str) -> Tensor:
    """Decode a PNG data URL into uint8 (3, H, W). Raises ValueError on anything else."""
    if not url.startswith(PNG_URL):
        raise ValueError(f"picture: expected a URL that starts with {PNG_URL!r}, got {url[:40]!r}")
    raw = base64.b64decode(url[len(PNG_URL) :], validate=True)
    with Image.open(io.BytesIO(raw), formats=["PNG"]) as image:
        return from_pil(image)
