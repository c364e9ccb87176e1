"""The requests that every backend is asked, in whichever environment it runs."""

from __future__ import annotations

import torch

from hpedit.scorers.base import ScoreRequest
from hpedit.tasks import TASKS


def requests(count: int, group: int = 1, side: int = 84) -> list[ScoreRequest]:
    """Return ``count`` requests of all tasks and several picture sizes; ``group`` in a row are edits of one case."""
    draw = torch.Generator().manual_seed(count)

    def picture(height: int, width: int) -> torch.Tensor:
        return torch.randint(0, 256, (3, height, width), generator=draw, dtype=torch.uint8)

    made: list[ScoreRequest] = []
    for i in range(count):
        case = i // group
        sources = made[-1].sources if i % group else (picture(side, side + 28 * (case % 2)),)
        text = f"Edit number {case}" + " please" * (case % 5)
        edit = picture(side + 28 * (case % 2), side)
        made.append(ScoreRequest(f"case-{case}", TASKS[case % 8], text, "keep the sky", sources, edit))
    return made
