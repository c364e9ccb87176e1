"""Cases without meaning, for measuring what does not depend on it."""

from __future__ import annotations

from pathlib import Path

import torch

from hpedit.cases import Case
from hpedit.images import png_bytes, to_uint8
from hpedit.pictures import Picture
from hpedit.records import write_cases
from hpedit.tasks import TASKS

# As long as the instructions that people write.
INSTRUCTIONS = [
    "Remove the person in the red jacket on the left and fill in the street and the shop window behind.",
    "Replace the wooden bench under the tree with a blue bicycle, keeping the light and the shadows as they are.",
    "Change the background to a quiet beach at sunset while the dog in front stays sharp and unchanged.",
    "Turn the whole photograph into a watercolour painting with visible paper grain and soft edges.",
]


def write_random_cases(path: Path, number: int, side: int) -> Path:
    """Write ``number`` cases of smooth random pictures of ``side`` x ``side`` pixels."""
    draw = torch.Generator().manual_seed(0)
    write_cases(path, [_case(i, side, draw) for i in range(number)])
    return path


def _case(number: int, side: int, draw: torch.Generator) -> Case:
    coarse = torch.rand(1, 3, 8, 8, generator=draw)
    smooth = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")[0]
    task, instruction = TASKS[number % len(TASKS)], INSTRUCTIONS[number % len(INSTRUCTIONS)]
    return Case(f"random-{number}", task, instruction, Picture(png_bytes(to_uint8(smooth))))
