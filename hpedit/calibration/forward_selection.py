"""Refinement without a language model: checks are taken from a bank, one after the other, as long as that helps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_info

from hpedit.calibration.bank import load_bank
from hpedit.calibration.closeness import Checks
from hpedit.calibration.engine import BudgetedJudge
from hpedit.calibration.ratings import RatedEdit


class ForwardSelection:
    """Greedy forward selection with backward removal, by mean closeness to the people's scores.

    Starts from no check at all. Each step adds the check of the bank, or of the prompt itself, that brings the scores
    closest to the people's, then drops the checks that have become useless. Ends when no check helps any more, when
    the list is full, or with the budget; when that falls within a step, the checks tried so far compete.
    """

    def __init__(self, bank: str | Path | None = None, max_checks: int = 8) -> None:
        """
        Args:
            bank: YAML file of checks; the project's own by default.
            max_checks: length of the longest list that is proposed.
        """
        if max_checks < 1:
            raise ValueError(f"max_checks: expected at least 1, got {max_checks}")
        self.bank = load_bank(bank)
        self.max_checks = max_checks

    @property
    def description(self) -> str:
        return f"forward selection from bank {self.bank.version}, at most {self.max_checks} checks"

    def propose(
        self, task: str, start: Checks, edits: Sequence[RatedEdit], judge: BudgetedJudge
    ) -> Iterator[Checks]:
        """Yield the empty list and the list after each step: one path, from short to long."""
        pool = tuple(dict.fromkeys((*self.bank.checks(task), *start)))
        chosen: Checks = ()
        level = judge.closeness(chosen, edits).mean
        yield chosen
        while len(chosen) < self.max_checks:
            longer = [(*chosen, check) for check in pool if check not in chosen]
            best, mean = _best(longer, edits, judge)
            if best is None or mean <= level:  # false of a level that is NaN: anything beats no score at all
                return
            chosen, level = _pruned(best, mean, edits, judge)
            rank_zero_info(f"{task}: {len(chosen)} checks, closeness {level:.4f}, {judge.left} calls left")
            yield chosen


def _best(
    lists: Sequence[Checks], edits: Sequence[RatedEdit], judge: BudgetedJudge
) -> tuple[Checks | None, float]:
    """Return the list that scores best, the first of equals, among those that the budget lasts for."""
    best, top = None, 0.0
    for checks in lists:
        if not judge.affords(checks, edits):
            break
        close = judge.closeness(checks, edits)
        if close.sound and (best is None or close.mean > top):
            best, top = checks, close.mean
    return best, top


def _pruned(
    chosen: Checks, level: float, edits: Sequence[RatedEdit], judge: BudgetedJudge
) -> tuple[Checks, float]:
    """Drop checks for as long as that costs nothing; the last one was just found to help and stays."""
    while len(chosen) > 1:
        shorter = [chosen[:i] + chosen[i + 1 :] for i in range(len(chosen) - 1)]
        best, mean = _best(shorter, edits, judge)
        if best is None or mean < level:
            break
        chosen, level = best, mean
    return chosen, level
