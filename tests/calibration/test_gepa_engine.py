"""gepa, with a reflector that is a function: it finds the checks, stays within its budget, goes on where it stopped."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hpedit.calibration.asking import Asked, prompted
from hpedit.calibration.closeness import Checks
from hpedit.calibration.engine import BudgetedJudge, Engine
from hpedit.calibration.gepa_engine import ChecksAdapter, GepaEngine
from hpedit.calibration.ratings import RatedEdit
from hpedit.calibration.refine import refine
from hpedit.scorers.base import Score
from hpedit.scorers.hp_scorer import HPScorer
from tests.calibration.stand_in import GHOST, SHADOW, TASK, FaultBackend, plain_prompt, rated

VAGUE = "Is the picture nice?"
IDEAS = ("Is it day?", GHOST, "Is it night?", SHADOW)


class Reflector:
    """Adds an idea to the list it is shown, in turn; remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[str | list[dict[str, Any]]] = []

    def __call__(self, prompt: str | list[dict[str, Any]]) -> str:
        self.told.append(prompt)
        text = prompt if isinstance(prompt, str) else prompt[0]["content"][0]["text"]
        shown = re.findall(r"^- (.*\?)$", text.split("```")[1], re.M)
        idea = IDEAS[len(self.told) % len(IDEAS)]
        lines = "\n".join(f"- {check}" for check in (*shown, idea))
        return f"They overlook something.\n```\n{lines}\n```"


class Asking:
    """Scores as the stand-in judge does, and counts."""

    def __init__(self) -> None:
        self.asked: list[Checks] = []
        self._asked = Asked(prompted(HPScorer(FaultBackend())))

    def __call__(self, checks: Checks, edits: Sequence[RatedEdit]) -> list[Score]:
        self.asked += [checks] * len(edits)
        return self._asked(plain_prompt(*checks), edits)


def search(
    engine: GepaEngine, budget: int, edits: list[RatedEdit] | None = None
) -> tuple[list[Checks], Asking]:
    asking = Asking()
    judge = BudgetedJudge(asking, budget)
    found = list(engine.propose(TASK, (VAGUE,), edits or rated(20), judge))
    assert len(asking.asked) == budget - judge.left
    return found, asking


def test_it_is_an_engine():
    assert isinstance(GepaEngine(Reflector()), Engine)


def test_it_finds_the_checks_that_people_go_by_and_reports_on_edits_it_never_saw():
    edits = rated(60)
    base = plain_prompt()
    engine = GepaEngine(Reflector(), pictures=False)
    found = refine(
        edits, Asked(prompted(HPScorer(FaultBackend()))), plain_prompt(VAGUE), base, engine, budget=500
    )
    assert {GHOST, SHADOW} <= set(found.prompt.checks)
    assert found.report.improved
    assert found.report.final.figures["plcc"].value > 0.95


def test_it_stays_within_its_budget_and_proposes_the_best_first():
    found, asking = search(GepaEngine(Reflector(), keep=2, pictures=False), budget=150)
    assert len(asking.asked) <= 150
    assert len(found) == 2
    means = [BudgetedJudge(Asking(), 1000).closeness(checks, rated(20)).mean for checks in found]
    assert means[0] >= means[1]


def test_the_same_seed_is_the_same_search():
    first, again = (search(GepaEngine(Reflector(), seed=3, pictures=False), budget=200) for _ in range(2))
    assert first[0] == again[0]
    assert first[1].asked == again[1].asked


def test_a_stopped_run_goes_on_in_its_folder(tmp_path: Path):
    run = str(tmp_path / "run")
    first, _ = search(GepaEngine(Reflector(), run_dir=run, pictures=False), budget=200)
    again, asking = search(GepaEngine(Reflector(), run_dir=run, pictures=False), budget=200)
    assert len(first) > 1
    assert again == first
    # gepa scores the start anew; all else was in the folder, and so was what the budget had been spent on.
    assert asking.asked == [(VAGUE,)] * 20


def test_other_ratings_do_not_go_on_with_a_run(tmp_path: Path):
    run = str(tmp_path / "run")
    search(GepaEngine(Reflector(), run_dir=run, pictures=False), budget=80)
    _, asking = search(
        GepaEngine(Reflector(), run_dir=run, pictures=False), budget=80, edits=rated(20, seed=1)
    )
    assert asking.asked[:20] == [(VAGUE,)] * 20
    assert len(list(Path(run).iterdir())) == 2


@pytest.mark.parametrize("pictures", [True, False])
def test_the_reflector_sees_instruction_ratings_and_pictures(pictures: bool):
    reflector = Reflector()
    search(GepaEngine(reflector, pictures=pictures, minibatch=3), budget=100)
    told = reflector.told[0]
    text = told if isinstance(told, str) else told[0]["content"][0]["text"]
    assert "on average (3 raters" in text
    assert '"Edit case-' in text
    assert "at most 12 lines" in text
    gaps = [float(gap) for gap in re.findall(r"too (?:kind|strict) by (\d\.\d)", text)]
    assert gaps
    assert gaps == sorted(gaps, reverse=True)
    if pictures:
        assert isinstance(told, list)
        assert [part["type"] for part in told[0]["content"]] == ["text"] + ["image_url"] * 3
    else:
        assert isinstance(told, str)


def missing_first(checks: Checks, edits: Sequence[RatedEdit]) -> list[Score]:
    return [Score.missing("503")] + [Score(edit.mean - 1.0) for edit in edits[1:]]


def test_an_edit_without_a_score_moves_nothing():
    adapter = ChecksAdapter("k", BudgetedJudge(missing_first, 100), 5, pictures=False)
    batch = adapter.evaluate(rated(5), {"k": VAGUE}, capture_traces=True)
    assert batch.scores == pytest.approx([0.8] * 5)
    assert math.isnan(batch.outputs[0])
    assert adapter.make_reflective_dataset({}, batch, ["k"])["k"][-1]["Judge"] == "no score (503)"


def test_a_judge_that_answers_nothing_stops_the_search_with_its_words():
    def dead(checks: Checks, edits: Sequence[RatedEdit]) -> list[Score]:
        return [Score.missing("connection refused")] * len(edits)

    with pytest.raises(ValueError, match="none of 20 edits could be scored: connection refused"):
        list(GepaEngine(Reflector()).propose(TASK, (VAGUE,), rated(20), BudgetedJudge(dead, 100)))


def test_a_reflector_that_fails_stops_the_search_with_its_words():
    calls = []

    def dead(prompt: str | list[dict[str, Any]]) -> str:
        calls.append(prompt)
        raise ConnectionError("reflector: nobody there")

    with pytest.raises(ConnectionError, match="reflector: nobody there"):
        search(GepaEngine(dead), budget=500)
    assert len(calls) == 1


def test_a_size_that_is_none_is_refused():
    with pytest.raises(ValueError, match="expected at least 1, got 0, 12 and 8"):
        GepaEngine(Reflector(), minibatch=0)
