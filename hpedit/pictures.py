"""Encoded pictures, read only when asked: bytes in memory, a slice of a memory map, or a file."""

from __future__ import annotations

import hashlib
import io
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image, ImageOps, UnidentifiedImageError

HEAD_BYTES = 1 << 16
_ORIENTATION = 0x0112
_UNREADABLE = (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError)


class BadPicture(ValueError):
    """A picture that is missing, empty or damaged; the message says which."""


@dataclass(frozen=True)
class Picture:
    """One encoded picture (PNG, JPEG, WebP, ...).

    Attributes:
        data: the encoded bytes, an Arrow buffer of them, or the file that holds them.
    """

    data: bytes | pa.Buffer | Path

    @classmethod
    def of(cls, value: Any, root: Path) -> Picture:
        """Take what a record holds: bytes, a path (relative to ``root``), or datasets' {"bytes", "path"}.

        Raises BadPicture where the record holds nothing.
        """
        if isinstance(value, dict):
            value = value.get("path") if value.get("bytes") is None else value["bytes"]
        if isinstance(value, str) and value:
            return cls(root / value)
        if isinstance(value, (bytes, pa.Buffer)):
            return cls(value)
        raise BadPicture("no picture in the record")

    def read(self) -> bytes:
        """Return all encoded bytes. Raises BadPicture where there are none."""
        return self._read(None)

    def size(self) -> tuple[int, int]:
        """Return (height, width) as seen upright, from the header alone."""
        try:
            return _upright_size(self._read(HEAD_BYTES))
        except _UNREADABLE as error:
            if isinstance(error, BadPicture):
                raise
        # A long colour profile, or a format that wants the whole file: ask again with everything.
        try:
            return _upright_size(self.read())
        except _UNREADABLE as error:
            raise BadPicture(f"no readable picture header{_detail(error)}") from error

    def decode(self) -> Image.Image:
        """Decode to RGB: turned upright by EXIF, transparency laid on white, 16 bits brought down to 8."""
        raw = self.read()
        try:
            with Image.open(io.BytesIO(raw)) as image:
                image.load()
                return _to_rgb(ImageOps.exif_transpose(image))
        except _UNREADABLE as error:
            raise BadPicture(f"damaged picture{_detail(error)}") from error

    def fingerprint(self) -> bytes:
        """Return 16 bytes that tell pictures apart by their beginning and length; equal files have equal ones."""
        length = self.data.stat().st_size if isinstance(self.data, Path) else len(memoryview(self.data))
        return hashlib.blake2b(
            self._read(HEAD_BYTES), digest_size=16, salt=length.to_bytes(16, "big")
        ).digest()

    def _read(self, count: int | None) -> bytes:
        data = self.data
        raw = _read_file(data, count) if isinstance(data, Path) else bytes(memoryview(data)[:count])
        if not raw:
            raise BadPicture("zero bytes")
        return raw


def _read_file(path: Path, count: int | None) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError as error:
        reason = (
            "missing image"
            if isinstance(error, FileNotFoundError)
            else f"unreadable image ({error.strerror})"
        )
        raise BadPicture(f"{reason}: {path}") from error


def _detail(error: Exception) -> str:
    # Of what is no picture at all, Pillow names the memory address that it read: of no help, and never the same twice.
    return "" if isinstance(error, UnidentifiedImageError) else f": {error}"


def _upright_size(raw: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(raw)) as image:
        width, height = image.size
        # Not image.getexif(): for a PNG it decodes the whole picture.
        exif = Image.Exif()
        exif.load(image.info.get("exif", b""))
    lying = exif.get(_ORIENTATION, 1) in (5, 6, 7, 8)
    return (width, height) if lying else (height, width)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        # convert() would clip everything above 255 to white.
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
