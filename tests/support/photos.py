"""Real photographs with hand-written instructions: those that scikit-image carries in its wheel, nothing downloaded."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import skimage
from PIL import Image

from hpedit.cases import Provenance
from hpedit.records import Cases, read_cases, write_cases

_SHIPPED = Path(skimage.__file__).parent / "data"
_NOTE = "scikit-image test data, see its data/README.txt"

# file in the wheel -> {task: instruction}
_INSTRUCTIONS: dict[str, dict[str, str]] = {
    "astronaut.png": {
        "object_removal": "Remove the model of the space shuttle behind the astronaut.",
        "color_change": "Make the astronaut's orange suit sky blue.",
        "background_replacement": "Replace the background with the surface of the moon under a black sky.",
        "bokeh": "Blur everything behind the astronaut as a fast portrait lens would, and keep her sharp.",
    },
    "chelsea.png": {
        "object_addition": "Put a small red bow tie on the cat.",
        "object_swapping": "Replace the cat with a fox cub in the same pose.",
        "style_transfer": "Turn the picture into a watercolour painting.",
        "bokeh": "Keep the cat's face sharp and let its fur fade softly out of focus towards the edges.",
    },
    "coffee.png": {
        "object_addition": "Add a croissant on the table next to the saucer.",
        "object_removal": "Remove the spoon from the saucer.",
        "object_swapping": "Replace the coffee with a bowl of tomato soup.",
        "color_change": "Change the cup and its saucer to dark green.",
        "relighting": "Light the table with warm candlelight from the left.",
    },
    "rocket.jpg": {
        "object_addition": "Add a full moon in the sky to the right of the rocket.",
        "background_replacement": "Move the launch pad to a desert with dunes at noon.",
        "relighting": "Show the launch pad at night, lit by floodlights.",
        "style_transfer": "Redraw the scene as a flat travel poster of the nineteen-fifties.",
    },
    "motorcycle_left.png": {
        "object_removal": "Remove the motorcycle and show the floor and wall behind it.",
        "object_swapping": "Replace the motorcycle with a bicycle.",
        "background_replacement": "Put the motorcycle on a road along the sea.",
        "color_change": "Paint the motorcycle bright yellow.",
    },
    "camera.png": {
        "bokeh": "Keep the photographer and his tripod sharp and blur the buildings in the distance.",
        "relighting": "Let the low evening sun light the man from behind.",
        "style_transfer": "Turn the photograph into a pencil drawing.",
    },
}
# left, upper, right, lower: the wheel's photographs are landscape or square, and a test wants a portrait too.
_CROPS = {"astronaut.png": (90, 0, 410, 512)}


@dataclass(frozen=True)
class PhotoDataset:
    """The same cases twice: a folder with metadata.jsonl, and one Parquet file with the pictures embedded."""

    folder: Path
    parquet: Path
    cases: int


def write_photo_dataset(folder: Path, longest_side: int | None = None) -> PhotoDataset:
    """Write 24 cases over six photographs, three for each of the eight tasks.

    The photographs are 600 x 400, 451 x 300, 512 x 512 (grey), 320 x 512 and the like; ``longest_side`` shrinks them.
    """
    photos = folder / "photos"
    photos.mkdir(parents=True)
    rows = [
        row for name, wanted in _INSTRUCTIONS.items() for row in _photo(photos, name, wanted, longest_side)
    ]
    (photos / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    parquet = folder / "photos.parquet"
    write_cases(parquet, _with_provenance(read_cases(str(photos))))
    return PhotoDataset(photos, parquet, len(rows))


def _photo(photos: Path, name: str, wanted: dict[str, str], longest_side: int | None) -> list[dict[str, str]]:
    with Image.open(_SHIPPED / name) as image:
        picture = image.crop(_CROPS[name]) if name in _CROPS else image.copy()
    if longest_side is not None:
        picture.thumbnail((longest_side, longest_side))
    picture.save(photos / name, quality=95)
    stem = Path(name).stem
    return [
        {"file_name": name, "case_id": f"{stem}-{task}", "task": task, "instruction": instruction}
        for task, instruction in wanted.items()
    ]


def _with_provenance(cases: Cases) -> list:
    return [replace(case, provenance=Provenance("scikit-image", case.case_id, _NOTE)) for case in cases]
