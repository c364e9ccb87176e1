"""Rated cases with known truth: a quality, raters who see it through noise, and a judge who does too."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw

from hpedit.cases import Candidate, Case, HumanRating, ScoreRecord
from hpedit.pictures import Picture

TASKS = ("bokeh", "object_removal", "style_transfer")


def picture(colour: tuple[int, int, int] = (120, 90, 60), mark: int = 0, size: int = 32) -> Picture:
    """A small PNG with ``mark`` bright bars, so that pictures can be told apart."""
    image = Image.new("RGB", (size, size), colour)
    for bar in range(mark):
        ImageDraw.Draw(image).rectangle((4 * bar, 4, 4 * bar + 1, size - 4), fill=(250, 250, 250))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return Picture(buffer.getvalue())


def rated_cases(
    cases: int = 30,
    candidates: int = 2,
    raters: int = 3,
    noise: float = 0.4,
    tasks: tuple[str, ...] = TASKS,
    seed: int = 0,
) -> list[Case]:
    """Cases with whole-number ratings and one judge's stored scores ("stub", version "1").

    Quality is normal about 2.8; each rater and the judge see it with independent noise of the given spread, the judge
    0.3 high on the edits of "flatterer".
    """
    draw = np.random.default_rng(seed)
    return [
        _case(number, draw, candidates, raters, noise, tasks[number % len(tasks)]) for number in range(cases)
    ]


def _case(
    number: int, draw: np.random.Generator, candidates: int, raters: int, noise: float, task: str
) -> Case:
    quality = np.clip(draw.normal(2.8, 1.2) + draw.normal(0, 0.7, candidates), 0, 5)
    names = [f"k{i}" for i in range(candidates)]
    editors = ["flatterer" if i % 2 else "plain" for i in range(candidates)]
    bias = 0.3 * np.array([editor == "flatterer" for editor in editors])
    seen = np.clip(quality + draw.normal(0, noise, candidates) + bias, 0, 5)
    return Case(
        case_id=f"case-{number:03d}",
        task=task,
        instruction=f"Make edit number {number}, and leave the rest as it is.",
        source=picture(),
        candidates=tuple(
            Candidate(name, picture((60, 90, 120), i + 1), editor)
            for i, (name, editor) in enumerate(zip(names, editors, strict=True))
        ),
        scores=tuple(
            ScoreRecord(name, "stub", "1", "expectation", float(s), digits(float(s)), 0.98)
            for name, s in zip(names, seen, strict=True)
        ),
        humans=tuple(
            HumanRating(name, f"ann{r}", "overall", float(np.clip(np.rint(q + draw.normal(0, noise)), 0, 5)))
            for name, q in zip(names, quality, strict=True)
            for r in range(raters)
        ),
    )


def digits(value: float) -> tuple[float, ...]:
    """A distribution over 0-5 whose mean is ``value``: the two neighbours share it."""
    low = min(int(value), 4)
    return tuple(1 - (value - low) if d == low else value - low if d == low + 1 else 0.0 for d in range(6))
