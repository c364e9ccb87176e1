"""Edits are scored in the background, in order, and nothing a scorer does takes the others down."""

import math
import threading
import time
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from hpedit.scorers.base import Score, Scorer, ScoreRequest
from hpedit.scorers.pool import Scored, ScoringPool, WeightedScorer, requests_of
from hpedit.types import EditedBatch
from tests.support.edits import PATIENCE, RedScorer, edited


def pool(*scorers: WeightedScorer | Scorer, batch_size: int = 4, max_in_flight: int = 4) -> ScoringPool:
    members = [s if isinstance(s, WeightedScorer) else WeightedScorer("red", s) for s in scorers]
    return ScoringPool(members, batch_size, max_in_flight, unchanged_tolerance=1.0)


def scored(pool: ScoringPool, *batches: EditedBatch, timeout: float = PATIENCE) -> Scored:
    return pool.collect([pool.submit(batch) for batch in batches], timeout)


class Says:
    """A scorer whose answer to every request is given; an exception is raised."""

    def __init__(self, answer: list[Score] | Exception) -> None:
        self.answer = answer

    def check(self) -> None:
        pass

    def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_scores_come_back_in_the_order_of_the_edits() -> None:
    result = scored(pool(RedScorer()), edited([1, 2, 3, 4, 5, 0]), edited([2, 4], first_case=6))
    assert result.value == [1, 2, 3, 4, 5, 0, 2, 4]
    assert result.case_id == [f"case-{k}" for k in range(8)]
    assert result.task[6] == "relighting"


def test_edits_are_asked_about_in_batches() -> None:
    scorer = RedScorer()
    scored(pool(scorer, batch_size=3), edited([1] * 10))
    assert sorted(len(call) for call in scorer.calls) == [1, 3, 3, 3]


def test_several_calls_are_under_way_at_once() -> None:
    meeting = threading.Barrier(3)  # opens when three calls have met
    assert (
        scored(pool(RedScorer(gate=meeting), batch_size=2, max_in_flight=3), edited([2] * 6)).value == [2] * 6
    )


def test_no_more_calls_are_under_way_than_allowed() -> None:
    gate = threading.Event()
    scorer = RedScorer(gate=gate)
    narrow = pool(scorer, batch_size=1, max_in_flight=2)
    ticket = narrow.submit(edited([1] * 5))
    time.sleep(0.1)
    assert len(scorer.calls) == 2
    gate.set()
    assert narrow.collect([ticket], PATIENCE).value == [1] * 5


def test_handing_in_does_not_wait_for_scores() -> None:
    gate = threading.Event()
    slow = pool(RedScorer(gate=gate))
    ticket = slow.submit(edited([3, 4]))
    assert not any(call.done() for call in ticket.calls["red"])
    gate.set()
    assert slow.collect([ticket], PATIENCE).value == [3, 4]


def test_a_request_carries_the_pictures_to_the_last_bit() -> None:
    draw = torch.Generator().manual_seed(1)
    levels = torch.randint(0, 256, (4, 3, 8, 8), generator=draw, dtype=torch.uint8)
    batch = edited([0.0] * 4, group=2)
    batch.images = levels.float() / 255
    batch.cases.sources = [torch.rand(2, 3, 8, 8, generator=draw), torch.rand(2, 3, 4, 4, generator=draw)]
    batch.cases.target = torch.rand(2, 3, 8, 8, generator=draw)
    requests, blank = requests_of(batch)
    assert blank == []
    assert [requests[i].case_id for i in range(4)] == ["case-0", "case-0", "case-1", "case-1"]
    for i, request in requests.items():
        assert torch.equal(request.edit, levels[i])
        torch.testing.assert_close(
            request.sources[1].float() / 255, batch.cases.sources[1][i // 2], atol=0.002, rtol=0
        )
    assert requests[0].sources[0] is requests[1].sources[0], "siblings share their source"
    assert requests[0].target is not None
    assert requests[0].target.dtype == torch.uint8


def test_an_edit_of_nan_is_missing_and_nobody_is_asked() -> None:
    scorer, batch = RedScorer(), edited([1, 2, 3])
    batch.images[1, 2, 0, 0] = math.nan
    result = scored(pool(scorer), batch)
    assert [math.isnan(v) for v in result.value] == [False, True, False]
    assert sum(map(len, scorer.calls)) == 2
    assert result.failures() == {"the edit holds NaN or infinity": 1}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (RuntimeError("tokenizer exploded"), "RuntimeError: tokenizer exploded"),
        ([Score(3.0)], "the scorer gave 1 scores for 2 edits"),
        ([Score(3.0), Score(5.5)], "the scorer gave 5.5, not in [0, 5]"),
        ([Score(3.0), Score(-0.1)], "the scorer gave -0.1, not in [0, 5]"),
        ([Score(3.0), Score(math.nan)], "the scorer gave NaN"),
        ([Score(3.0), Score(math.inf)], "the scorer gave inf, not in [0, 5]"),
    ],
)
def test_whatever_a_scorer_does_wrong_is_a_missing_score(
    answer: list[Score] | Exception, reason: str
) -> None:
    result = scored(pool(Says(answer)), edited([1, 2]))
    assert math.isnan(result.value[1])
    assert reason in result.failures()


def test_one_failing_case_leaves_the_others_alone() -> None:
    result = scored(pool(RedScorer(failing=["case-1"])), edited([1, 2, 3]))
    assert result.value[0] == 1
    assert math.isnan(result.value[1])
    assert result.value[2] == 3


def test_what_comes_too_late_is_missing() -> None:
    gate = threading.Event()
    busy = pool(RedScorer(gate=gate, gated=["case-1"]), batch_size=1)
    result = scored(busy, edited([1, 2]), timeout=1.0)
    gate.set()
    assert result.value[0] == 1
    assert math.isnan(result.value[1])
    assert result.failures() == {"no score within 1 s": 1}


def test_several_scorers_are_averaged_by_weight() -> None:
    four = Says([Score(4.0)])
    members = WeightedScorer("red", RedScorer(), 3.0), WeightedScorer("four", four, 1.0)
    result = scored(pool(*members, batch_size=1), edited([2, 0]))
    assert result.value == [2.5, 1.0]
    assert [s.value for s in result.by_scorer["four"]] == [4.0, 4.0]


def test_a_referee_is_heard_but_counts_for_nothing() -> None:
    broken = Says(RuntimeError("asleep"))
    result = scored(
        pool(WeightedScorer("red", RedScorer()), WeightedScorer("referee", broken, 0.0)), edited([2, 5])
    )
    assert result.value == [2, 5]
    assert all(math.isnan(s.value) for s in result.by_scorer["referee"])


def test_a_sample_is_missing_if_any_scorer_that_counts_failed() -> None:
    members = WeightedScorer("a", RedScorer()), WeightedScorer("b", RedScorer(failing=["case-0"]), 0.01)
    result = scored(pool(*members), edited([2, 5]))
    assert math.isnan(result.value[0])
    assert result.value[1] == pytest.approx(5.0)


def test_unchanged_edits_are_counted() -> None:
    assert scored(pool(RedScorer()), edited([0, 0, 3, 5])).unchanged == 2


def test_queue_wait_and_latency_are_measured_apart() -> None:
    result = scored(pool(RedScorer(delay=0.1), batch_size=1, max_in_flight=1), edited([1, 2, 3]))
    calls = sorted(result.calls["red"], key=lambda call: call.queued)
    assert all(call.took >= 0.1 for call in calls)
    assert calls[2].queued >= 0.15  # two calls went before it


def test_a_closed_pool_lets_go_of_what_is_queued() -> None:
    gate = threading.Event()
    scorer = RedScorer(gate=gate)
    closing = pool(scorer, batch_size=1, max_in_flight=1)
    ticket = closing.submit(edited([1, 2, 3]))
    scorer.begun.wait(PATIENCE)
    closing.close()
    gate.set()
    start = time.monotonic()
    result = closing.collect([ticket], PATIENCE)
    assert time.monotonic() - start < PATIENCE / 2
    assert len(scorer.calls) == 1
    assert sum(math.isnan(value) for value in result.value) == 2


def test_a_reply_keeps_its_distribution() -> None:
    given = Score(2.5, probabilities=(0.0, 0.0, 0.5, 0.5, 0.0, 0.0), mass=0.9)
    assert scored(pool(Says([given])), edited([1])).by_scorer["red"] == [replace(given)]
