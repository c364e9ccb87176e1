"""Refinement finds the checks that make a blind judge see, and claims nothing where there is only noise."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from hpedit.calibration.asking import Asked, prompted
from hpedit.calibration.closeness import Checks
from hpedit.calibration.comparison import REFINED, UNREFINED
from hpedit.calibration.engine import BudgetedJudge
from hpedit.calibration.forward_selection import ForwardSelection
from hpedit.calibration.ratings import RatedEdit
from hpedit.calibration.refine import Refinement, refine
from hpedit.calibration.splits import split_cases
from hpedit.scorers.hp_scorer import HPScorer
from hpedit.scorers.score_map import IsotonicMap
from tests.calibration.stand_in import GHOST, SHADOW, TASK, FaultBackend, plain_prompt, rated
from tests.support.rated import rated_edit

VAGUE = "Is the picture nice?"
START = plain_prompt(VAGUE)
BASE = replace(plain_prompt(), name="base")


@pytest.fixture(scope="module")
def small_bank(tmp_path_factory: pytest.TempPathFactory) -> ForwardSelection:
    """The shipped bank has the same checks, and many more to try."""
    file = tmp_path_factory.mktemp("bank") / "bank.yaml"
    checks = "\n".join(f"  - {check}" for check in ("Is it day?", SHADOW, "Is it night?", GHOST))
    file.write_text(f"version: '1'\nprovenance: test\n{TASK}:\n{checks}\n")
    return ForwardSelection(file)


def refined(
    edits: Sequence[RatedEdit], engine, backend: FaultBackend | None = None, **settings
) -> Refinement:
    return refine(
        edits, Asked(prompted(HPScorer(backend or FaultBackend()))), START, BASE, engine, **settings
    )


@pytest.fixture(scope="module")
def found() -> Refinement:
    return refined(rated(80), ForwardSelection(max_checks=4))


def test_a_blind_judge_learns_to_see_from_the_shipped_bank(found: Refinement):
    assert set(found.prompt.checks) == {GHOST, SHADOW}
    before, after = (found.report.arms[name].figures["plcc"].value for name in (UNREFINED, REFINED))
    assert before < 0.6
    assert after > 0.95
    assert found.report.improved


def test_only_the_checks_are_rewritten(found: Refinement):
    assert replace(found.prompt, checks=START.checks) == START


def test_the_report_split_is_not_scored_before_the_choice_is_made(small_bank: ForwardSelection):
    edits, backend, seen = rated(40), FaultBackend(), []

    class Watched:
        description = "watched"

        def propose(
            self, task: str, start: Checks, edits: Sequence[RatedEdit], judge: BudgetedJudge
        ) -> Iterator[Checks]:
            yield from small_bank.propose(task, start, edits, judge)
            seen.append(set(backend.instructions))

    found = refined(edits, Watched(), backend, score_map="isotonic")

    def said(part: Sequence[RatedEdit]) -> set[str]:
        return {edit.case.instruction for edit in part}

    assert seen == [said(found.split.optimise)]
    first = next(i for i, text in enumerate(backend.instructions) if text in said(found.split.report))
    # From there on nothing else is asked: the choice and the maps are made.
    assert set(backend.instructions[first:]) == said(found.split.report)
    assert len(backend.instructions) - first == len(found.report.arms) * len(found.split.report)
    assert found.calls == len(backend.instructions)


@pytest.mark.parametrize("seed", range(4))
def test_of_noise_nothing_is_claimed_and_the_shortest_prompt_wins(seed: int, small_bank: ForwardSelection):
    edits = [
        replace(e, ratings=tuple(min(5.0, r + 2.0) for r in e.ratings)) for e in rated(60, seed, noise=True)
    ]
    found = refined(edits, small_bank)
    assert found.prompt.checks == ()
    assert not found.report.improved


@pytest.mark.parametrize("seed", range(4))
def test_a_mere_shift_of_the_scale_is_not_claimed_as_sight(seed: int, small_bank: ForwardSelection):
    # The judge is too kind; a check that lowers its scores brings them nearer to any ratings, random ones too.
    found = refined(rated(60, seed, noise=True), small_bank)
    assert found.report.gain.value > 0
    assert not found.report.improved


def test_a_map_is_fitted_on_top_and_stays_with_the_winner(small_bank: ForwardSelection):
    edits = [replace(e, ratings=tuple(0.5 * r for r in e.ratings)) for e in rated(80)]
    found = refined(edits, small_bank, score_map="isotonic")
    assert isinstance(found.prompt.map, IsotonicMap)
    assert found.report.final.prompt == found.prompt
    assert found.report.final.figures["mae"].value < 0.3
    assert found.report.arms[REFINED].figures["mae"].value > 1


def test_failed_scores_are_counted_and_left_out(small_bank: ForwardSelection):
    edits, backend = rated(60), FaultBackend()
    lost = split_cases(edits).report[0]
    backend.failing = (lost.case.instruction,)
    found = refined(edits, small_bank, backend)
    assert {arm.closeness.missing for arm in found.report.arms.values()} == {1}
    # A score of 0 in its place would weigh down the mean.
    whole = refined(edits, small_bank).report.arms[REFINED].closeness.mean
    assert found.report.arms[REFINED].closeness.mean == pytest.approx(whole, abs=0.01)


def test_a_judge_that_never_answers_is_an_error(small_bank: ForwardSelection):
    edits, backend = rated(20), FaultBackend()
    backend.failing = tuple(edit.case.instruction for edit in edits)
    with pytest.raises(ValueError, match="could not be scored, more than 20%: 503: overloaded"):
        refined(edits, small_bank, backend)


def test_an_engine_that_overspends_is_ended_and_its_proposals_stand():
    class Spender:
        description = "spends"

        def propose(
            self, task: str, start: Checks, edits: Sequence[RatedEdit], judge: BudgetedJudge
        ) -> Iterator[Checks]:
            yield (GHOST, SHADOW)
            for number in range(100):
                judge((f"Is it {number}?",), edits)
                yield (f"Is it {number}?",)

    found = refined(rated(40), Spender(), budget=50)
    assert set(found.prompt.checks) == {GHOST, SHADOW}
    assert len(found.candidates) == 2 + 50 // len(found.split.optimise)


def test_edits_of_another_task_are_named(small_bank: ForwardSelection):
    with pytest.raises(ValueError, match=r"x/k: expected an edit of task object_removal, got bokeh"):
        refined([*rated(10), rated_edit("x", 3.0, task="bokeh")], small_bank)
