"""What refines a list of checks, and the judge it may put its ideas to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, runtime_checkable

from hpedit.calibration.closeness import Checks, Closeness, closeness
from hpedit.calibration.ratings import RatedEdit
from hpedit.scorers.base import Score

ScoreEdits = Callable[[Checks, Sequence[RatedEdit]], list[Score]]


class BudgetSpent(Exception):
    """The judge was asked for more scores than are left."""


class BudgetedJudge:
    """Scores edits under lists of checks, remembers every score, and stops at a budget.

    Attributes:
        left: scorer calls that are left; a remembered score costs none.
    """

    def __init__(self, score: ScoreEdits, budget: int) -> None:
        """
        Args:
            score: scores edits under a list of checks.
            budget: scorer calls in all.
        """
        self.left = budget
        self._score = score
        self._known: dict[tuple[Checks, str], Score] = {}

    def __call__(self, checks: Checks, edits: Sequence[RatedEdit]) -> list[Score]:
        """Return one score per edit, in order. Raises BudgetSpent, before any call, if they cannot all be had."""
        new = self._new(checks, edits)
        if len(new) > self.left:
            raise BudgetSpent(f"{len(new)} scores asked for, {self.left} left")
        self.left -= len(new)
        if new:
            for edit, score in zip(new, self._score(checks, new), strict=True):
                self._known[checks, edit.name] = score
        return [self._known[checks, edit.name] for edit in edits]

    def closeness(self, checks: Checks, edits: Sequence[RatedEdit]) -> Closeness:
        return closeness(edits, self(checks, edits))

    def affords(self, checks: Checks, edits: Sequence[RatedEdit]) -> bool:
        """Whether the budget lasts for these scores."""
        return len(self._new(checks, edits)) <= self.left

    def _new(self, checks: Checks, edits: Sequence[RatedEdit]) -> list[RatedEdit]:
        return [edit for edit in edits if (checks, edit.name) not in self._known]


@runtime_checkable
class Engine(Protocol):
    """Proposes lists of checks for one task's prompt."""

    @property
    def description(self) -> str:
        """Return what the record of a prompt's version calls the engine and its settings."""
        ...

    def propose(
        self, task: str, start: Checks, edits: Sequence[RatedEdit], judge: BudgetedJudge
    ) -> Iterator[Checks]:
        """Yield candidates, in any order; a few are enough, as each costs scores to choose from.

        Args:
            task: canonical name of the task.
            start: the checks of the prompt that is to be refined.
            edits: the optimisation split, all of ``task``; no other edit may be put to the judge.
            judge: what scores them; it raises BudgetSpent at the end of the budget, which ends the proposals.
        """
        ...
