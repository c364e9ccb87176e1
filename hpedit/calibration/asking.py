"""Scores of rated edits by prompts that change all the time: what refinement asks of a scorer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy

from hpedit.calibration.judges import ask
from hpedit.calibration.ratings import RatedEdit
from hpedit.scorers.base import Score, Scorer
from hpedit.scorers.hp_scorer import HPScorer
from hpedit.scorers.prompts import ScoringPrompt, dump_prompt

# Turns a prompt into a scorer that judges the edits of the prompt's task by it.
ScorerOf = Callable[[ScoringPrompt], Scorer]


def prompted(scorer: HPScorer) -> ScorerOf:
    """Return what turns a prompt into ``scorer`` asking by that prompt."""

    def with_prompt(prompt: ScoringPrompt) -> HPScorer:
        other = copy(scorer)
        other.prompts = {**scorer.prompts, prompt.name: prompt}
        other.task_aware = True
        return other

    return with_prompt


class Asked:
    """Scores edits by prompts, asking for no score twice.

    Attributes:
        calls: scores that were asked for so far.
    """

    def __init__(self, scorer_of: ScorerOf, batch_size: int = 8, max_in_flight: int = 4) -> None:
        """
        Args:
            scorer_of: turns a prompt into a scorer, such as ``prompted(HPScorer(backend))``.
            batch_size: edits in one call of a scorer.
            max_in_flight: calls under way at once.
        """
        self.calls = 0
        self._scorer_of = scorer_of
        self._batch_size = batch_size
        self._max_in_flight = max_in_flight
        self._known: dict[tuple[str, str], Score] = {}

    def __call__(self, prompt: ScoringPrompt, edits: Sequence[RatedEdit]) -> list[Score]:
        """Return the score of each edit by ``prompt``; one that could not be had stays missing."""
        words = dump_prompt(prompt)
        new = [edit for edit in edits if (words, edit.name) not in self._known]
        scores = ask(new, self._scorer_of(prompt), self._batch_size, self._max_in_flight)
        for edit, score in zip(new, scores, strict=True):
            self._known[words, edit.name] = score
        self.calls += len(new)
        return [self._known[words, edit.name] for edit in edits]
