"""The score that trains, the score that is reported, and the score a command writes are one function's value."""

import csv
import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from callbacks.reward import RewardCallback
from hpedit.cases import Candidate, Case
from hpedit.commands.score import score as score_command
from hpedit.images import to_pil, to_uint8
from hpedit.pictures import Picture
from hpedit.records import write_cases
from hpedit.scorers.base import Score, ScoreRequest
from hpedit.scorers.hp_scorer import Answer, HPScorer
from hpedit.scorers.prompts import Message
from hpedit.scoring.judges import Judges
from hpedit.types import EditBatch, EditedBatch
from tests.callbacks.test_reward import Painter, trainer
from tests.support.edits import SleepyScorer


class Meticulous:
    """A backend whose answer hangs on every word, level and position of a chat."""

    def check(self) -> None:
        pass

    def answer(self, chats: Sequence[list[Message]], generate: bool) -> list[Answer]:
        return [Answer(logprobs=self._logprobs(chat)) for chat in chats]

    def _logprobs(self, chat: list[Message]) -> tuple[float, ...]:
        digest = hashlib.sha256()
        for part in (part for message in chat for part in message.parts):
            digest.update(part.encode() if isinstance(part, str) else _bytes(part))
        weights = [1 + byte for byte in digest.digest()[:6]]
        return tuple(math.log(weight / sum(weights)) for weight in weights)


class Witnessed(HPScorer):
    """HP-Scorer that notes the scores it gives, by instruction."""

    def __init__(self) -> None:
        super().__init__(Meticulous())
        self.given: dict[str, list[float]] = {}

    def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        scores = super().score(requests)
        for request, score in zip(requests, scores, strict=True):
            self.given.setdefault(request.instruction, []).append(score.value)
        return scores


def _bytes(picture: Tensor) -> bytes:
    return str(tuple(picture.shape)).encode() + picture.numpy().tobytes()


def eight_edits() -> EditedBatch:
    """Edits of eight cases, one of each of two tasks in turn; levels between the 8-bit ones."""
    draw = torch.Generator().manual_seed(3)
    cases = EditBatch(
        case_id=[f"case-{i}" for i in range(8)],
        task=["bokeh", "relighting"] * 4,
        instruction=[f"Do number {i}" for i in range(8)],
        requirement=["", "gently"] * 4,
        sources=[torch.rand(8, 3, 12, 16, generator=draw)],
        size=(12, 16),
    )
    return EditedBatch(cases, list(range(8)), torch.rand(8, 3, 12, 16, generator=draw))


class FromEdits(Painter):
    """Shows the same eight edits as its rollout and as its validation."""

    def __init__(self) -> None:
        super().__init__()
        self.evaluates = lambda index: _rows(eight_edits(), index)


def _rows(edits: EditedBatch, half: int) -> EditedBatch:
    rows = list(range(4 * half, 4 * half + 4))
    return EditedBatch(edits.cases.select(rows), [0, 1, 2, 3], edits.images[rows])


def test_a_rollout_a_validation_and_the_command_give_equal_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edits = eight_edits()
    halves = iter([_rows(edits, 0), _rows(edits, 1)])
    monkeypatch.setattr("tests.callbacks.test_reward.edited", lambda *_, **__: next(halves))
    trained, reported, written = Witnessed(), Witnessed(), Witnessed()

    module = FromEdits()
    trainer(RewardCallback(trained)).fit(module)
    trainer(RewardCallback(reported), limit_val_batches=1.0).validate(FromEdits(), verbose=False)
    score_command(_file(edits, tmp_path), out=str(tmp_path / "scores.parquet"), reward=Judges(written))

    assert len(trained.given) == 8
    assert len(set(map(str, trained.given.values()))) > 4  # the edits do differ
    assert trained.given == reported.given == written.given
    in_rollout = module.rollouts[0].score.tolist()
    assert in_rollout == pytest.approx([trained.given[f"Do number {i}"][0] for i in range(8)], abs=1e-6)
    with (tmp_path / "scores.csv").open() as file:
        rows = {row["case_id"]: float(row["value"]) for row in csv.DictReader(file)}
    assert rows == {f"case-{i}": trained.given[f"Do number {i}"][0] for i in range(8)}


def _file(edits: EditedBatch, folder: Path) -> str:
    def picture(name: str, levels: Tensor) -> Picture:
        to_pil(to_uint8(levels)).save(folder / f"{name}.png")
        return Picture((folder / f"{name}.png").read_bytes())

    cases = edits.cases
    write_cases(
        folder / "cases.parquet",
        [
            Case(
                case_id=cases.case_id[i],
                task=cases.task[i],
                instruction=cases.instruction[i],
                requirement=cases.requirement[i],
                source=picture(f"source-{i}", cases.sources[0][i]),
                candidates=(Candidate("first", picture(f"edit-{i}", edits.images[i])),),
            )
            for i in range(len(cases))
        ],
    )
    return str(folder / "cases.parquet")


def test_a_judge_that_can_sleep_is_awake_for_rounds_and_evaluations_only() -> None:
    scorer, referee = SleepyScorer(), SleepyScorer()
    trainer(RewardCallback(scorer, referee=referee), limit_val_batches=1.0, max_epochs=2).fit(Painter())
    assert not scorer.disturbed
    assert not referee.disturbed
    one_round = ["wake", "score", "sleep"]
    assert scorer.events == ["check", "sleep"] + 2 * (one_round + one_round)
    # The round's own end has it sleep too, which changes nothing where it sleeps already.
    assert [event for event in referee.events if event != "sleep"] == ["check"] + 2 * ["wake", "score"]
    assert referee.events[-1] == "sleep"
