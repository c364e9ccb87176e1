"""Which pictures of a folder to take, and what the folder's layout says of them.

DIV2K, LSDIR, COCO and Pixabay dumps are recognised; of any other folder all pictures are taken, at any depth.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
_RESEARCH = "research only (terms of {})"
_PIXABAY = re.compile(r"^(?:.*-)?(?P<id>\d{3,})_(?P<size>\d{2,5})$")


@dataclass(frozen=True)
class Found:
    """A picture of a folder.

    Attributes:
        key: path relative to the folder, with forward slashes.
        row: what it is called in its data set.
        dataset, license: as the layout has them, "" where it does not say.
        categories: MS-COCO categories that it is annotated with.
    """

    key: str
    row: str
    dataset: str = ""
    license: str = ""
    categories: tuple[str, ...] = ()

    @property
    def path(self) -> PurePosixPath:
        return PurePosixPath(self.key)


def find_pictures(root: Path) -> list[Found]:
    """Return the pictures to take from ``root``, sorted by path."""
    found = [Found(key, key) for key in _walk(root)]
    for layout in (_div2k, _lsdir, _coco, _pixabay):
        if (taken := layout(root, found)) is not None:
            return taken
    return found


def _walk(root: Path) -> list[str]:
    keys = [
        (Path(folder) / name).relative_to(root).as_posix()
        for folder, _, names in os.walk(root, followlinks=True)
        for name in names
        if Path(name).suffix.lower() in _SUFFIXES and not name.startswith(".")
    ]
    return sorted(keys)


def _div2k(root: Path, found: Sequence[Found]) -> list[Found] | None:
    """Take DIV2K_train_HR and DIV2K_valid_HR, and leave the shrunken copies of DIV2K_*_LR_*."""

    def is_set(name: str) -> bool:
        return re.match(r"DIV2K_(train|valid|test)_(HR|LR)", name) is not None

    if not any(map(is_set, [root.name, *_folders(found)])):
        return None
    taken = [f for f in found if "_LR" not in root.name and not any("_LR" in part for part in f.path.parts)]
    return [replace(f, dataset="DIV2K", license=_RESEARCH.format("DIV2K")) for f in taken]


def _lsdir(root: Path, found: Sequence[Found]) -> list[Found] | None:
    """Take the full pictures, and leave the shrunken copies in X2, X3 and X4."""
    folders = _folders(found)
    if "lsdir" not in root.name.lower() and not {"HR", "X4"} <= folders:
        return None
    taken = [f for f in found if not {"X2", "X3", "X4"} & set(f.path.parts)]
    return [replace(f, dataset="LSDIR", license=_RESEARCH.format("LSDIR")) for f in taken]


def _coco(root: Path, found: Sequence[Found]) -> list[Found] | None:
    """Read categories and licences of single pictures from annotations/instances_*.json."""
    files = sorted(root.glob("annotations/instances_*.json"))
    if not files:
        return None
    known: dict[str, Found] = {}
    for file in files:
        known |= _instances(file)
    unknown = Found("", "", "COCO", "see the terms of MS-COCO")
    return [replace(known.get(f.key, unknown), key=f.key, row=f.row) for f in found]


def _instances(file: Path) -> dict[str, Found]:
    """Return what an instances file says, by path relative to COCO's folder."""
    split = file.stem.removeprefix("instances_")
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        names = {c["id"]: c["name"] for c in record["categories"]}
        terms = {t["id"]: t["name"] for t in record.get("licenses", [])}
        seen: dict[int, set[str]] = {}
        for box in record["annotations"]:
            seen.setdefault(box["image_id"], set()).add(names[box["category_id"]])
        return {
            f"{split}/{image['file_name']}": Found(
                key="",
                row="",
                dataset="COCO",
                license=terms.get(image.get("license"), ""),
                categories=tuple(sorted(seen.get(image["id"], ()))),
            )
            for image in record["images"]
        }
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"collect.folders: {file} is no COCO instances file: {type(error).__name__}: {error}"
        ) from error


def _pixabay(root: Path, found: Sequence[Found]) -> list[Found] | None:
    """Take the largest copy of each picture of a dump whose files are called NAME-ID_WIDTH."""
    parsed = [(f, m) for f in found if (m := _PIXABAY.match(f.path.stem))]
    if len(parsed) < len(found) or not found:
        return None
    largest: dict[str, tuple[int, Found]] = {}
    for f, match in parsed:
        width = int(match["size"])
        if width > largest.get(match["id"], (0, f))[0]:
            largest[match["id"]] = (width, replace(f, row=match["id"]))
    taken = sorted((f for _, f in largest.values()), key=lambda f: f.key)
    return [replace(f, dataset="Pixabay", license="Pixabay Content License") for f in taken]


def _folders(found: Sequence[Found]) -> set[str]:
    return {part for f in found for part in f.path.parts[:-1]}
