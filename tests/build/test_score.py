"""Candidates are scored; what could not be had is missing, and a scorer that is away is waited for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
import torch

from hpedit.build.fingerprint import fingerprint
from hpedit.build.score import Outage, Score, Scoring, requests_of
from hpedit.build.stage import Failure, MapStage
from hpedit.cases import Candidate, ScoreRecord
from hpedit.scorers import base
from hpedit.scorers.hp_scorer import HPScorer
from hpedit.scorers.openai_backend import OpenAIBackend
from hpedit.scorers.pool import WeightedScorer
from tests.support.cases import WIDE, flat, grey_case, torn
from tests.support.scorers import BrightnessScorer


def case(number: int, *greys: int, **changes):
    candidates = tuple(Candidate(f"case-{number}-{i}", flat(grey)) for i, grey in enumerate(greys))
    return grey_case(number, candidates=candidates, **changes)


def test_every_candidate_gets_a_record():
    (outcome,) = Score(BrightnessScorer()).open()([case(0, 0, 51, 255)])
    (scored,) = outcome
    assert [s.cand_id for s in scored.scores] == ["case-0-0", "case-0-1", "case-0-2"]
    assert [s.value for s in scored.scores] == pytest.approx([0, 1, 5])
    assert {(s.scorer, s.read, s.dist) for s in scored.scores} == {("BrightnessScorer", "expectation", ())}
    assert all(s.ts for s in scored.scores)


def test_scores_that_were_there_stay():
    known = ScoreRecord("target", "people", value=4.0)
    (outcome,) = Score(BrightnessScorer()).open()([case(0, 255, scores=(known,))])
    assert [s.scorer for s in outcome[0].scores] == ["people", "BrightnessScorer"]


def test_the_judge_sees_the_source_in_the_shape_of_the_edit():
    wide = replace(case(1, 9), source=flat(40, WIDE))
    (request,) = requests_of(wide)
    assert request.sources[0].shape == request.edit.shape == (3, 40, 40)
    assert request.sources[0].dtype == torch.uint8
    assert request.sources[0].unique().tolist() == [40]


def test_siblings_share_their_source():
    first, second = requests_of(case(1, 9, 10))
    assert first.sources[0] is second.sources[0]


def test_references_and_target_are_shown_too():
    rich = replace(case(1, 9), references=(flat(5, WIDE),), target=flat(7, WIDE), requirement="Softly.")
    (request,) = requests_of(rich)
    assert request.sources[1].shape == (3, 32, 48)
    assert request.target is not None
    assert request.target.shape == (3, 40, 40)
    assert request.requirement == "Softly."


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (case(1), "no candidate to score"),
        (replace(case(1, 5), source=torn()), "damaged picture"),
        (case(1, 5, task="bokeh"), "no score: no opinion"),
    ],
)
def test_a_case_without_any_score_fails_alone(broken, reason):
    good = replace(case(2, 255), task="relighting")
    outcomes = Score(BrightnessScorer(failing=("bokeh",))).open()([broken, good])
    assert isinstance(outcomes[0], Failure)
    assert reason in outcomes[0].reason
    assert outcomes[1][0].scores[0].value == pytest.approx(5)


class Darkroom(BrightnessScorer):
    """Has no opinion on what is black."""

    def score(self, requests: Sequence[base.ScoreRequest]) -> list[base.Score]:
        return [s if s.value else base.Score.missing("too dark") for s in super().score(requests)]


def test_one_missing_score_among_others_is_missing_data():
    (outcome,) = Score(Darkroom()).open()([case(0, 0, 255)])
    assert [s.value for s in outcome[0].scores] == [None, pytest.approx(5)]


@dataclass
class Flaky(BrightnessScorer):
    """Is away between two times of its own clock, which only pauses move."""

    away: float
    back: float
    now: float = 0.0
    failing: tuple[str, ...] = ()
    asked: list[str] = field(default_factory=list)

    def check(self) -> None:
        if self.away <= self.now < self.back:
            raise ConnectionError("nobody answers")

    def score(self, requests: Sequence[base.ScoreRequest]) -> list[base.Score]:
        self.asked += [r.case_id for r in requests]
        if self.away <= self.now < self.back:
            return [base.Score.missing("refused") for _ in requests]
        return super().score(requests)

    def sleep(self, seconds: float) -> None:
        assert 0 < seconds <= 60
        self.now += seconds


def scoring(scorer: Flaky, patience: float) -> Scoring:
    return Scoring(WeightedScorer("flaky", scorer), Outage(patience, pause=scorer.sleep))


def test_a_scorer_that_is_away_for_a_while_is_waited_for():
    scorer = Flaky(away=0.0, back=250.0)
    outcomes = scoring(scorer, 600.0)([case(0, 255), case(1, 51)])
    assert [o[0].scores[0].value for o in outcomes] == pytest.approx([5, 1])
    assert 250 <= scorer.now <= 310
    assert scorer.asked == ["case-0", "case-1"] * 2


def test_patience_ends_and_is_not_begun_anew_for_every_batch():
    scorer = Flaky(away=0.0, back=1e9)
    work = scoring(scorer, 100.0)
    for number in range(3):
        (outcome,) = work([case(number, 255)])
        assert outcome == Failure("no score: refused")
    assert scorer.now == pytest.approx(100)
    scorer.now = 1e9
    assert not isinstance(work([case(9, 255)])[0], Failure)


def test_each_absence_has_all_the_patience():
    scorer = Flaky(away=0.0, back=90.0)
    work = scoring(scorer, 100.0)
    work([case(0, 255)])
    scorer.away, scorer.back = scorer.now, scorer.now + 90
    assert not isinstance(work([case(1, 255)])[0], Failure)


def test_a_refusal_by_a_scorer_that_is_there_is_not_waited_for():
    scorer = Flaky(away=1e9, back=1e9, failing=("bokeh",))
    (outcome,) = scoring(scorer, 600.0)([replace(case(0, 255), task="bokeh")])
    assert outcome == Failure("no score: no opinion")
    assert scorer.now == 0
    assert scorer.asked == ["case-0"]


def test_nobody_there_at_the_beginning_is_said_at_once():
    stage = Score(HPScorer(OpenAIBackend("http://127.0.0.1:9/v1", "judge")))
    stage.check()
    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1:9"):
        stage.open()


def test_another_address_is_the_same_judge_and_another_prompt_is_not():
    here, there = (
        OpenAIBackend("http://a/v1", "judge"),
        OpenAIBackend("http://b/v1", "judge", max_in_flight=3),
    )
    stage = Score(HPScorer(here))
    assert isinstance(stage, MapStage)
    assert fingerprint(stage) == fingerprint(Score(HPScorer(there), patience=5.0))
    assert fingerprint(stage) != fingerprint(Score(HPScorer(OpenAIBackend("http://a/v1", "other"))))
    assert fingerprint(stage) != fingerprint(Score(HPScorer(here, read="argmax")))


def test_patience_must_be_a_time():
    with pytest.raises(ValueError, match=r"score\.patience: expected seconds >= 0, got -1"):
        Score(BrightnessScorer(), patience=-1)
