"""What tells whether two pictures are the same, or look alike."""

from __future__ import annotations

import hashlib

import imagehash
from PIL import Image


def pixel_hash(image: Image.Image) -> str:
    """Return the SHA-256 of an RGB picture's size and pixels: equal for equal pictures in whatever file."""
    digest = hashlib.sha256(f"{image.width}x{image.height}:".encode())
    digest.update(image.tobytes())
    return digest.hexdigest()


def perceptual_hash(image: Image.Image) -> int:
    """Return the 64-bit DCT hash of a picture ("pHash"): pictures that look alike differ in few bits."""
    return int(str(imagehash.phash(image)), 16)
