"""Small cases whose pictures tell which case they belong to."""

from __future__ import annotations

import io

from PIL import Image

from hpedit.cases import Candidate, Case, ScoreRecord
from hpedit.pictures import Picture
from hpedit.tasks import TASKS

WIDE, TALL, SQUARE = (48, 32), (32, 48), (40, 40)


def flat(value: int, size: tuple[int, int] = SQUARE) -> Picture:
    """A picture of one grey ``value``; ``size`` is (width, height)."""
    buffer = io.BytesIO()
    Image.new("L", size, value).save(buffer, format="PNG")
    return Picture(buffer.getvalue())


def torn(size: tuple[int, int] = SQUARE, value: int = 7) -> Picture:
    """A picture with a good header and half of its body missing."""
    buffer = io.BytesIO()
    Image.effect_noise(size, value).save(buffer, format="PNG")
    return Picture(buffer.getvalue()[: len(buffer.getvalue()) // 2])


def grey_case(number: int, size: tuple[int, int] = SQUARE, task: str | None = None, **changes) -> Case:
    """Case ``number`` with a source of that grey; tasks take turns."""
    facts = {
        "task": task or TASKS[number % len(TASKS)],
        "instruction": f"Do {number}.",
        "source": flat(number, size),
    }
    return Case(f"case-{number}", **(facts | changes))


def scored(*values: float | None) -> dict:
    """Candidates with these scores, as fields of a case; None is a score that could not be had."""
    return {
        "candidates": tuple(Candidate(f"k{i}", flat(100 + i)) for i in range(len(values))),
        "scores": tuple(ScoreRecord(f"k{i}", "hp", value=value) for i, value in enumerate(values)),
    }
