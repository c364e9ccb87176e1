"""Refinement of a task's prompt: an engine rewrites its checks until the scorer agrees with people (paper, 4.1).

Three splits by case: the engine sees the first, the second chooses among its candidates, and the figures are taken on
the third, which is not scored before the choice is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lightning.pytorch.utilities import rank_zero_info

from hpedit.calibration.asking import Asked
from hpedit.calibration.closeness import Checks, Closeness, closeness, shortest_near_best
from hpedit.calibration.comparison import Comparison, compare
from hpedit.calibration.engine import BudgetedJudge, BudgetSpent, Engine
from hpedit.calibration.maps import MapKind
from hpedit.calibration.ratings import RatedEdit
from hpedit.calibration.splits import Shares, Split, split_cases
from hpedit.scorers.prompts import ScoringPrompt


@dataclass(frozen=True)
class Refinement:
    """What came of a refinement.

    Attributes:
        start: the prompt that was to be refined.
        prompt: the winner, still under the version of ``start``; with a map where one was asked for and rises.
        engine: its description.
        split: who was in which part.
        candidates: every list of checks that stood for election, by its closeness on the select split.
        report: what the report split says.
        calls: scores that were asked of the scorer.
    """

    start: ScoringPrompt
    prompt: ScoringPrompt
    engine: str
    split: Split
    candidates: Mapping[Checks, Closeness]
    report: Comparison
    calls: int


def refine(
    edits: Sequence[RatedEdit],
    asked: Asked,
    prompt: ScoringPrompt,
    base: ScoringPrompt,
    engine: Engine,
    budget: int = 5000,
    score_map: MapKind | None = None,
    shares: Shares = (0.5, 0.25, 0.25),
    seed: int = 0,
) -> Refinement:
    """Refine the checks of one task's prompt on rated edits of that task.

    Args:
        edits: rated edits, all of the prompt's task; 50 to 100 cases are the paper's number.
        asked: scores the edits by any prompt, such as ``Asked(prompted(HPScorer(backend)))``.
        prompt: the prompt to refine; its preamble, limits, scale and answer line stay as they are.
        base: the task-blind prompt to compare with.
        engine: what proposes lists of checks.
        budget: scores that the engine may ask for; choosing and reporting come on top.
        score_map: kind of map to fit on top of the winner's scores, none by default.
        shares: of the cases for optimising, selecting and reporting.
        seed: of the split.

    Of the lists proposed and the prompt's own, the shortest within one standard error of the best on the select split
    wins. A score that could not be had is missing, counted, and never 0.
    Raises ValueError where an edit is of another task, the cases are too few, or too many scores fail.
    """
    _expect_task(edits, prompt.name)
    split = split_cases(edits, shares, seed)
    bare = replace(prompt, map=None)
    candidates = _select(_propose(split.optimise, bare, engine, asked, budget), bare, split.select, asked)
    winner = replace(bare, checks=shortest_near_best(candidates))
    # Nothing but a map's few numbers is fitted on these scores, so both splits may serve.
    fitting = (*split.optimise, *split.select)
    report = compare(prompt, winner, base, fitting, split.report, asked, score_map)
    return Refinement(
        start=prompt,
        prompt=report.final.prompt,
        engine=engine.description,
        split=split,
        candidates=candidates,
        report=report,
        calls=asked.calls,
    )


def _expect_task(edits: Sequence[RatedEdit], task: str) -> None:
    for edit in edits:
        if edit.task != task:
            raise ValueError(f"{edit.name}: expected an edit of task {task}, got {edit.task}")


def _propose(
    edits: Sequence[RatedEdit], prompt: ScoringPrompt, engine: Engine, asked: Asked, budget: int
) -> list[Checks]:
    """Return the prompt's own checks and what the engine proposes within its budget, each once."""
    judge = BudgetedJudge(lambda checks, part: asked(replace(prompt, checks=checks), part), budget)
    found = [prompt.checks]
    try:
        for checks in engine.propose(prompt.name, prompt.checks, edits, judge):
            found.append(checks)
    except BudgetSpent as spent:
        rank_zero_info(f"{prompt.name}: the budget ended the search: {spent}")
    return list(dict.fromkeys(found))


def _select(
    lists: Sequence[Checks], prompt: ScoringPrompt, edits: Sequence[RatedEdit], asked: Asked
) -> dict[Checks, Closeness]:
    rank_zero_info(f"{prompt.name}: {len(lists)} candidates stand for election on {len(edits)} edits")
    return {checks: closeness(edits, asked(replace(prompt, checks=checks), edits)) for checks in lists}
