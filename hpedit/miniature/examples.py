"""Examples: numbered cases of the miniature world, each a pure function of its number."""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

import numpy as np

from hpedit.miniature.drawing import Picture
from hpedit.miniature.edits import Edit, propose
from hpedit.miniature.instructions import write_instruction
from hpedit.miniature.scenes import render
from hpedit.tasks import TASKS

# Numbers below this are for training, those from here on are held out. One edit of a scene in HELD_OUT_PART, told by
# a checksum of its recipe, is only ever drawn for a held-out number, so that the two never meet.
HELD_OUT = 1_000_000_000
HELD_OUT_PART = 8

# Mean visible change, over all pixels and channels, that an edit must ask for: half of the smallest shape's.
MIN_CHANGE = 0.004


@dataclass(frozen=True)
class Example:
    """One case with its pictures, all float32 (3, 64, 64) in [0, 1].

    Attributes:
        number: what the example was drawn from.
        edit: the recipe.
        instruction: the edit in words.
        source, target: before and after the edit.
        wrong: what another edit of the same task would have made of it.
    """

    number: int
    edit: Edit
    instruction: str
    source: Picture
    target: Picture
    wrong: Picture

    @property
    def case_id(self) -> str:
        return f"mini-{self.number}"

    @property
    def task(self) -> str:
        return self.edit.task


def example(number: int) -> Example:
    """Return example ``number`` (>= 0); eight numbers in a row are the eight tasks."""
    rng = np.random.default_rng(number)
    while True:
        edit = propose(TASKS[number % len(TASKS)], rng)
        before, after, wrong = (render(v) for v in (edit.before, edit.after, edit.wrong))
        held_out = crc32(repr((edit.before, edit.after)).encode()) % HELD_OUT_PART == 0
        if held_out == (number >= HELD_OUT) and _differs(before, after) and _differs(wrong, after):
            break
    return Example(number, edit, write_instruction(edit.task, edit.words, rng), before, after, wrong)


def _differs(one: Picture, other: Picture) -> bool:
    """Say whether a person would see a difference; a gray photo of a gray scene is no edit."""
    return float(np.maximum(np.abs(one - other) - 0.05, 0).mean()) > MIN_CHANGE
