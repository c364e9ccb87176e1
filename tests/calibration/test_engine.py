"""The judge remembers every score and never goes beyond its budget."""

from collections.abc import Sequence

import pytest

from hpedit.calibration.closeness import Checks
from hpedit.calibration.engine import BudgetedJudge, BudgetSpent
from hpedit.calibration.ratings import RatedEdit
from hpedit.scorers.base import Score
from tests.support.rated import rated_edit

EDITS = [rated_edit(f"case-{i}", float(i)) for i in range(4)]


class Counted:
    """Scores an edit by its number of checks; remembers what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Checks, str]] = []

    def __call__(self, checks: Checks, edits: Sequence[RatedEdit]) -> list[Score]:
        self.asked += [(checks, edit.name) for edit in edits]
        return [Score(float(len(checks))) for _ in edits]


def test_a_score_is_asked_for_once():
    counted = Counted()
    judge = BudgetedJudge(counted, budget=10)
    judge(("a?",), EDITS[:2])
    scores = judge(("a?",), EDITS)
    assert [score.value for score in scores] == [1.0] * 4
    assert counted.asked == [(("a?",), edit.name) for edit in EDITS]
    assert judge.left == 6


def test_what_the_budget_does_not_last_for_is_not_begun():
    counted = Counted()
    judge = BudgetedJudge(counted, budget=5)
    judge((), EDITS)
    assert not judge.affords(("a?",), EDITS)
    with pytest.raises(BudgetSpent, match="4 scores asked for, 1 left"):
        judge(("a?",), EDITS)
    assert len(counted.asked) == 4
    assert judge.affords((), EDITS)
    assert judge.closeness((), EDITS[:1]).mean == 1.0
