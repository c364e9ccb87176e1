"""Scorers with a known answer, for tests of what surrounds them."""

from __future__ import annotations

import time
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


class Diary(BrightnessScorer):
    """A BrightnessScorer that takes its time and writes down, in a file, the case of every edit it is asked about."""

    def __init__(self, file: str, seconds: float = 0.0, failing: tuple[str, ...] = ()) -> None:
        super().__init__(failing)
        self.file = file
        self.seconds = seconds

    def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        with open(self.file, "a", encoding="utf-8") as diary:
            diary.writelines(f"{request.case_id}\n" for request in requests)
        time.sleep(self.seconds)
        return super().score(requests)


class Threes:
    """Gives every edit a 3."""

    def check(self) -> None:
        pass

    def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        return [Score(3.0)] * len(requests)
