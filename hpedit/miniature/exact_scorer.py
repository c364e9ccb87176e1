"""The exact rating as a Scorer: post-training on the miniature without a judge model."""

from __future__ import annotations

from collections.abc import Sequence

from hpedit.miniature.rating import rate
from hpedit.scorers.base import Score, ScoreRequest


class ExactScorer:
    """Rates an edit against the exact target that every case of the miniature has."""

    def check(self) -> None:
        """Nothing can be out of reach: the rating is arithmetic on the pictures."""

    def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        """Return one Score per request; a request without a usable target is missing, not 0."""
        return [self._score(request) for request in requests]

    def _score(self, request: ScoreRequest) -> Score:
        if request.target is None:
            return Score.missing(f"case {request.case_id}: the exact rating wants a target picture, got none")
        pictures = [request.sources[0], request.edit, request.target]
        shapes = {tuple(picture.shape) for picture in pictures}
        if len(shapes) > 1:
            return Score.missing(
                f"case {request.case_id}: the exact rating wants source, edit and target of one size, got {shapes}"
            )
        source, edit, target = (picture.numpy() for picture in pictures)
        return Score(float(rate(source, edit, target).score))
