"""The exact rating behind the Scorer contract."""

import math
import time

import pytest
import torch

from hpedit.miniature.drawing import to_uint8
from hpedit.miniature.exact_scorer import ExactScorer
from hpedit.miniature.examples import example
from hpedit.scorers.base import Scorer, ScoreRequest


def request(number: int, edit: str = "target", target: bool = True) -> ScoreRequest:
    case = example(number)
    pictures = {n: torch.from_numpy(to_uint8(getattr(case, n))) for n in ("source", "target", "wrong")}
    return ScoreRequest(
        case.case_id,
        case.task,
        case.instruction,
        "",
        (pictures["source"],),
        pictures[edit],
        pictures["target"] if target else None,
    )


def test_it_is_a_scorer():
    assert isinstance(ExactScorer(), Scorer)
    ExactScorer().check()


def test_scores_come_in_order():
    scores = ExactScorer().score([request(0), request(0, "source"), request(1), request(1, "wrong")])
    assert [s.value for s in scores[:3]] == [5, 0, 5]
    assert 0 <= scores[3].value < 3


def test_a_case_without_target_is_missing_not_0():
    alone, good = ExactScorer().score([request(0, target=False), request(0)])
    assert math.isnan(alone.value)
    assert "mini-0" in (alone.failure or "")
    assert good.value == 5


def test_pictures_of_different_sizes_are_missing():
    odd = request(0)
    small = ScoreRequest(odd.case_id, odd.task, "", "", odd.sources, odd.edit[:, :32], odd.target)
    assert "one size" in (ExactScorer().score([small])[0].failure or "")


@pytest.mark.slow
def test_it_rates_hundreds_of_edits_a_second():
    requests = [request(n, "wrong") for n in range(64)] * 4
    start = time.process_time()
    ExactScorer().score(requests)
    assert len(requests) / (time.process_time() - start) > 500
