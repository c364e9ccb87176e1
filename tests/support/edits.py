"""Batches of plain pictures whose right score is known, and scorers for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import torch

from hpedit.scorers.base import Score, ScoreRequest
from hpedit.tasks import TASKS
from hpedit.types import EditBatch, EditedBatch

PATIENCE = 30.0  # seconds after which a test that waits for a thread has failed


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

    def __init__(
        self,
        failing: Sequence[str] = (),
        broken: str | None = None,
        gate: threading.Event | threading.Barrier | None = None,
        gated: Sequence[str] | None = None,
        delay: float = 0.0,
    ) -> None:
        """Make a scorer that misbehaves on request.

        Args:
            failing: ids of cases it cannot score.
            broken: why ``check`` fails.
            gate: a call waits for it, which makes tests of concurrency exact.
            gated: first cases of the calls that wait; all by default.
            delay: seconds a call takes at least.
        """
        self.failing = failing
        self.broken = broken
        self.gate = gate
        self.gated = gated
        self.delay = delay
        self.begun = threading.Event()
        self.checks = 0
        self.calls: list[list[ScoreRequest]] = []

    def check(self) -> None:
        self.checks += 1
        if self.broken:
            raise ConnectionError(self.broken)

    def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        self.calls.append(list(requests))
        self.begun.set()
        if self.gate is not None and (self.gated is None or requests[0].case_id in self.gated):
            self.gate.wait(PATIENCE)
        time.sleep(self.delay)
        return [self._score(request) for request in requests]

    def _score(self, request: ScoreRequest) -> Score:
        if request.case_id in self.failing:
            return Score.missing("429: too many pictures")
        return Score(value=int(request.edit[0, 0, 0]) / 51)


class SleepyScorer(RedScorer):
    """Notes, without repeats in a row, what is asked of it; ``disturbed`` is whether anything came while it slept."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[str] = []
        self.asleep = False
        self.disturbed = False
        self._noting = threading.Lock()

    def check(self) -> None:
        self._note("check")

    def wake(self) -> None:
        self.asleep = False
        self._note("wake")

    def sleep(self) -> None:
        self._note("sleep")
        self.asleep = True

    def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        self.disturbed |= self.asleep
        self._note("score")
        return super().score(requests)

    def _note(self, event: str) -> None:
        with self._noting:
            if self.events[-1:] != [event]:
                self.events.append(event)
