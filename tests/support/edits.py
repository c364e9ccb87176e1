"""Batches of plain pictures whose right score is known, and scorers for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import torch

from hpedit.scorers.base import Score, ScoreRequest
from hpedit.tasks import TASKS
from hpedit.types import EditBatch, EditedBatch


def edited(scores: Sequence[float], first_case: int = 0, group: int = 1, side: int = 8) -> EditedBatch:
    """Edits that ``RedScorer`` gives these scores; ``group`` of them in a row are edits of one case.

    The sources are black, so an edit of score 0 is unchanged. Case k is of the k-th task.
    """
    cases = len(scores) // group
    ids = range(first_case, first_case + cases)
    images = torch.zeros(len(scores), 3, side, side)
    images[:, 0] = torch.tensor([round(score * 51) / 255 for score in scores])[:, None, None]
    batch = EditBatch(
        case_id=[f"case-{k}" for k in ids],
        task=[TASKS[k % len(TASKS)] for k in ids],
        instruction=[f"Make picture {k} red" for k in ids],
        requirement=[""] * cases,
        sources=[torch.zeros(cases, 3, side, side)],
        size=(side, side),
    )
    return EditedBatch(batch, [i // group for i in range(len(scores))], images)


class RedScorer:
    """Scores an edit by how red its first pixel is, 51 levels a point."""

    def __init__(self, delay: float = 0.0, failing: Sequence[str] = (), broken: str | None = None) -> None:
        """Args: seconds a call takes; ids of cases it cannot score; why ``check`` fails."""
        self.delay = delay
        self.failing = failing
        self.broken = broken
        self.checks = 0
        self.calls: list[list[ScoreRequest]] = []
        self.in_flight = self.most_in_flight = 0
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, object]) -> None:
        vars(self).update(state, _lock=threading.Lock())

    def check(self) -> None:
        self.checks += 1
        if self.broken:
            raise ConnectionError(self.broken)

    def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        with self._lock:
            self.calls.append(list(requests))
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        time.sleep(self.delay)
        with self._lock:
            self.in_flight -= 1
        return [self._score(request) for request in requests]

    def _score(self, request: ScoreRequest) -> Score:
        if request.case_id in self.failing:
            return Score.missing("429: too many pictures")
        return Score(value=int(request.edit[0, 0, 0]) / 51)
