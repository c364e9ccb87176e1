"""Data sets of the miniature world, in the project's record schema."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from hpedit.cases import Case, Provenance
from hpedit.miniature.drawing import Picture as Pixels
from hpedit.miniature.drawing import to_uint8
from hpedit.miniature.examples import HELD_OUT, Example, example
from hpedit.miniature.flaws import draw_edit
from hpedit.pictures import Picture
from hpedit.records import write_cases

# The first example of the post-training cases: the base model is trained on those before.
POST_TRAINING = 100_000_000
PREFERRED = 0.55


def write_data(folder: str | Path, train: int = 2048, held_out: int = 128) -> list[Path]:
    """Write ``train.parquet`` and ``held_out.parquet``: cases with the exact edit as target; return the files.

    Eight cases in a row are the eight tasks. The two sets, and the base model's, share no (scene, edit).
    """
    folder = Path(folder)
    sizes = {"train": (POST_TRAINING, train), "held_out": (HELD_OUT, held_out)}
    for name, (first, number) in sizes.items():
        cases = (case(e, e.target) for e in map(example, range(first, first + number)))
        write_cases(folder / f"{name}.parquet", cases)
    return [folder / f"{name}.parquet" for name in sizes]


def write_mixture(path: str | Path, number: int, preferred: float = PREFERRED, seed: int = 0) -> Path:
    """Write what the base model learns from: each case's target is the exact edit or, else, a flawed one."""
    write_cases(path, _mixture(number, preferred, np.random.default_rng(seed)))
    return Path(path)


def _mixture(number: int, preferred: float, rng: np.random.Generator) -> Iterator[Case]:
    for n in range(number):
        drawn = example(n)
        yield case(drawn, draw_edit(drawn, rng, preferred))


def case(drawn: Example, target: Pixels) -> Case:
    """Return the record of an example with ``target`` as its edited picture."""
    return Case(
        case_id=drawn.case_id,
        task=drawn.task,
        instruction=drawn.instruction,
        source=_encoded(drawn.source),
        target=_encoded(target),
        provenance=Provenance(dataset="hpedit-miniature", row=str(drawn.number), license="Apache-2.0"),
    )


def _encoded(pixels: Pixels) -> Picture:
    buffer = io.BytesIO()
    Image.fromarray(to_uint8(pixels).transpose(1, 2, 0)).save(buffer, "PNG", compress_level=1)
    return Picture(buffer.getvalue())
