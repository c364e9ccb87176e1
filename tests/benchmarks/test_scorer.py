"""The benchmark of scoring asks what it says it asks, and its table's ratios are of its own rates."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
import torch

from benchmarks.scorer import REASONING, WORKS, Outcome, Work, measure, new_requests, report
from hpedit.scorers.hp_scorer import Answer
from hpedit.scorers.prompts import Message


class Recorded:
    def __init__(self, answer: Answer) -> None:
        self.given = answer
        self.chats: list[list[Message]] = []
        self.generate = False

    def check(self) -> None: ...

    def answer(self, chats: Sequence[list[Message]], generate: bool) -> list[Answer]:
        self.chats += chats
        self.generate = generate
        return [self.given] * len(chats)


DIGITS = Answer(logprobs=(-1.8,) * 6)


@pytest.mark.parametrize("group", [1, 8])
def test_siblings_share_their_case_and_nobody_shares_an_edit(group: int) -> None:
    requests = new_requests(Work("rubric_first", group), 16, 32, seed=1)
    assert len({r.case_id for r in requests}) == 16 // group
    assert len({id(r.sources[0]) for r in requests}) == 16 // group
    assert not any(torch.equal(a.edit, b.edit) for a, b in pairwise(requests))
    assert not torch.equal(
        requests[0].edit, new_requests(Work("rubric_first", group), 16, 32, seed=2)[0].edit
    )


@pytest.mark.parametrize("work", WORKS)
def test_a_row_asks_in_its_order_and_reads_in_its_way(work: Work) -> None:
    backend = Recorded(Answer(text="Well done all in all.") if work.reasons else DIGITS)
    outcome = measure("x", backend, work, 16, 32, seed=1)
    assert len(backend.chats) == 16
    assert backend.generate == work.reasons
    assert [m.role for m in backend.chats[0]] == (
        ["system", "user"] if work.order == "rubric_first" else ["user"]
    )
    assert (REASONING in str(backend.chats[0][-1].parts[-1])) == work.reasons
    assert outcome.rate > 0


def test_a_judge_that_cannot_be_asked_is_no_figure() -> None:
    with pytest.raises(ConnectionError, match="x: 8 of 8 edits were not scored: 503"):
        measure("x", Recorded(Answer(failure="503")), WORKS[0], 8, 32, seed=1)


def test_ratios_are_to_the_backends_own_first_row() -> None:
    outcomes = [Outcome("a", WORKS[0], 2.0), Outcome("a", WORKS[4], 1.0), Outcome("b", WORKS[0], 8.0)]
    rows = [line.split("|")[-2].strip() for line in report(outcomes).splitlines()[2:]]
    assert rows == ["1.00", "0.50", "1.00"]
