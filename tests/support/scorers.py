"""Scorers with a known answer, for tests of what surrounds them."""

from __future__ import annotations

from collections.abc import Sequence

from hpedit.scorers.base import Score, ScoreRequest


class BrightnessScorer:
    """Scores an edit by its mean brightness, 0 to 5; edits of ``failing`` tasks cannot be had."""

    def __init__(self, failing: tuple[str, ...] = ()) -> None:
        self.failing = failing

    def check(self) -> None:
        pass

    def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        return [
            Score.missing("no opinion")
            if r.task in self.failing
            else Score(5.0 * float(r.edit.float().mean()) / 255)
            for r in requests
        ]
