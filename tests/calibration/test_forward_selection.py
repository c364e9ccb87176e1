"""Forward selection takes the checks that bring scores closer to people's, and no others."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from hpedit.calibration.closeness import Checks
from hpedit.calibration.engine import BudgetedJudge, Engine
from hpedit.calibration.forward_selection import ForwardSelection
from hpedit.calibration.ratings import RatedEdit
from hpedit.scorers.base import Score
from tests.support.rated import rated_edit

TASK = "object_removal"
GHOST, SHADOW, USELESS, BOTH = "Is no ghost left?", "Is no shadow left?", "Is it Tuesday?", "Is nothing left?"


def bank(folder: Path, *checks: str) -> Path:
    file = folder / "bank.yaml"
    lines = "\n".join(f"  - {check}" for check in checks)
    file.write_text(f"version: '1'\nprovenance: test\n{TASK}:\n{lines}\n")
    return file


# Each edit has a fault or two, by its index: bit 0 a ghost, bit 1 a shadow. People take off 2 for each.
EDITS = [rated_edit(f"case-{i}", 5.0 - 2 * (i & 1) - 2 * (i >> 1 & 1)) for i in range(16)]


def seeing(checks: Checks, edits: Sequence[RatedEdit]) -> list[Score]:
    """A judge that takes off for the faults that its checks speak of, and sees no others."""
    sees = (GHOST in checks or BOTH in checks, SHADOW in checks or BOTH in checks)
    faults = [int(edit.case.case_id.removeprefix("case-")) for edit in edits]
    return [Score(5.0 - 2.0 * (sees[0] and i & 1) - 2.0 * (sees[1] and i >> 1 & 1)) for i in faults]


def path(engine: ForwardSelection, start: Checks = (), budget: int = 10_000) -> list[Checks]:
    return list(engine.propose(TASK, start, EDITS, BudgetedJudge(seeing, budget)))


def test_it_is_an_engine(tmp_path: Path):
    assert isinstance(ForwardSelection(bank(tmp_path, USELESS)), Engine)


def test_it_takes_the_checks_that_help_and_leaves_the_others(tmp_path: Path):
    steps = path(ForwardSelection(bank(tmp_path, USELESS, GHOST, SHADOW)))
    assert steps == [(), (GHOST,), (GHOST, SHADOW)]


def test_a_check_that_others_have_made_useless_is_dropped(tmp_path: Path):
    covers = {GHOST: {2, 3, 4, 5}, SHADOW: {1, 2, 3}, BOTH: {4, 5, 6}}
    edits = [rated_edit(f"case-{i}", 1.0) for i in range(8)]

    def judge(checks: Checks, edits: Sequence[RatedEdit]) -> list[Score]:
        seen = set().union(*(covers[check] for check in checks))
        return [Score(1.0 if int(e.case.case_id.removeprefix("case-")) in seen else 5.0) for e in edits]

    engine = ForwardSelection(bank(tmp_path, *covers))
    steps = list(engine.propose(TASK, (), edits, BudgetedJudge(judge, 10_000)))
    assert steps == [(), (GHOST,), (GHOST, SHADOW), (SHADOW, BOTH)]


def test_the_prompts_own_checks_are_on_offer_too(tmp_path: Path):
    assert path(ForwardSelection(bank(tmp_path, USELESS)), start=(SHADOW,))[-1] == (SHADOW,)


def test_the_list_grows_no_longer_than_allowed(tmp_path: Path):
    assert path(ForwardSelection(bank(tmp_path, GHOST, SHADOW), max_checks=1)) == [(), (GHOST,)]


def test_it_ends_with_the_budget_and_keeps_what_it_found(tmp_path: Path):
    engine = ForwardSelection(bank(tmp_path, GHOST, USELESS, SHADOW))
    assert path(engine, budget=16) == [()]
    assert path(engine, budget=16 * 2) == [(), (GHOST,)]


def test_a_check_under_which_edits_fail_is_not_taken(tmp_path: Path):
    def judge(checks: Checks, edits: Sequence[RatedEdit]) -> list[Score]:
        scores = seeing(checks, edits)
        return [Score.missing("no answer")] * len(edits) if GHOST in checks else scores

    engine = ForwardSelection(bank(tmp_path, GHOST, SHADOW))
    assert list(engine.propose(TASK, (), EDITS, BudgetedJudge(judge, 10_000)))[-1] == (SHADOW,)


def test_a_list_without_room_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="max_checks: expected at least 1, got 0"):
        ForwardSelection(bank(tmp_path, GHOST), max_checks=0)
