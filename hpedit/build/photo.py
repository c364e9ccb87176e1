"""A photograph on its way to becoming cases: what collecting leaves behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from datasets import Features, Image, List, Value

from hpedit.cases import Provenance
from hpedit.pictures import Picture


@dataclass(frozen=True)
class Rating:
    """A score of a target picture that came with a public data set, on the scale of HP-Score, 0 to 5."""

    scorer: str
    value: float


@dataclass(frozen=True)
class Photo:
    """One photograph, upright.

    Attributes:
        photo_id: unique in a build.
        image: the encoded picture.
        width, height: in pixels.
        sha256: of the decoded pixels, in hexadecimal digits.
        phash: 64-bit perceptual hash; pictures that look alike differ in few bits.
        provenance: where it comes from, and its licence.
        categories: MS-COCO categories, where its data set names them.
        task, instruction, instruction_lang: of the edit that a public data set has of it, None for a mere photograph;
            the task is canonical.
        target: the edited picture that came with it.
        ratings: of that target.
    """

    photo_id: str
    image: Picture
    width: int
    height: int
    sha256: str
    phash: int
    provenance: Provenance = Provenance()
    categories: tuple[str, ...] = ()
    task: str | None = None
    instruction: str | None = None
    instruction_lang: str | None = None
    target: Picture | None = None
    ratings: tuple[Rating, ...] = ()


_TEXT, _WHOLE = Value("string"), Value("int32")

PHOTO_FEATURES = Features(
    {
        "photo_id": _TEXT,
        "image": Image(),
        "width": _WHOLE,
        "height": _WHOLE,
        "sha256": _TEXT,
        "phash": Value("uint64"),
        "provenance": {"dataset": _TEXT, "row": _TEXT, "license": _TEXT},
        "categories": List(_TEXT),
        "task": _TEXT,
        "instruction": _TEXT,
        "instruction_lang": _TEXT,
        "target": Image(),
        "ratings": List({"scorer": _TEXT, "value": Value("float64")}),
    }
)


def photo_row(photo: Photo) -> dict[str, Any]:
    """Return the row of PHOTO_FEATURES that holds a photo."""
    return {
        **vars(photo),
        "image": _cell(photo.image),
        "provenance": asdict(photo.provenance),
        "target": None if photo.target is None else _cell(photo.target),
        "ratings": [asdict(r) for r in photo.ratings],
    }


def photo_of(row: Mapping[str, Any]) -> Photo:
    """Return the photo that a row of PHOTO_FEATURES holds."""
    known = {name: row[name] for name in PHOTO_FEATURES}
    return Photo(
        **known
        | {
            "image": Picture.of(row["image"], Path()),
            "provenance": Provenance(**row["provenance"]),
            "categories": tuple(row["categories"]),
            "target": None if row["target"] is None else Picture.of(row["target"], Path()),
            "ratings": tuple(Rating(**r) for r in row["ratings"]),
        }
    )


def _cell(picture: Picture) -> dict[str, Any]:
    return {"bytes": picture.read(), "path": None}
