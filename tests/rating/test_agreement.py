"""The owner's figures, against libraries and examples done by hand."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean, stdev
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.classification import multiclass_cohen_kappa

from hpedit.rating.agreement import summary
from hpedit.rating.order import Kind
from hpedit.rating.store import Answer

SAID = Answer("ann", "score", "first", "c", "k", None, "4", 1000, 0.0, 0, "1x1@1", "0", "1")


def scored(rater: str, scores: list[int], kind: Kind = "first") -> list[Answer]:
    """Scores of cases 0, 1, ..."""
    return [
        replace(SAID, rater=rater, kind=kind, case_id=str(i), value=str(s)) for i, s in enumerate(scores)
    ]


def voted(rater: str, *votes: tuple[str, str, str], kind: Kind = "first") -> list[Answer]:
    """Votes (left, right, value) on case c."""
    return [
        replace(SAID, rater=rater, mode="vote", kind=kind, left=a, right=b, value=v) for a, b, v in votes
    ]


def of(rater: str, answers: list[Answer]) -> dict[str, Any]:
    mode = answers[0].mode
    return next(row for row in summary(answers, mode)["raters"] if row["rater"] == rater)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=40))
def test_kappa_is_the_quadratic_weighted_one(pairs: list[tuple[int, int]]):
    ann, bob = map(list, zip(*pairs, strict=True))
    kappa = of("ann", scored("ann", ann) + scored("bob", bob))["kappa"]
    if len(set(ann + bob)) == 1:
        assert kappa is None  # nothing varies: agreement cannot be told from chance
    else:
        wanted = multiclass_cohen_kappa(torch.tensor(ann), torch.tensor(bob), 6, weights="quadratic")
        assert kappa == pytest.approx(wanted.item(), abs=1e-5)


def test_a_rater_is_compared_with_the_mean_of_the_others_on_what_they_share():
    answers = scored("ann", [0, 3, 5, 1]) + scored("bob", [1, 3]) + scored("cid", [2, 5, 5])
    ann = of("ann", answers)
    assert ann["shared"] == 3
    assert ann["mae"] == pytest.approx((1.5 + 1 + 0) / 3)
    assert ann["mean"] == pytest.approx(fmean([0, 3, 5, 1]))
    assert ann["sd"] == pytest.approx(stdev([0, 3, 5, 1]))


def test_hidden_items_tell_of_the_rater_and_do_not_enter_the_scores():
    answers = scored("ann", [4, 2, 3]) + scored("ann", [4, 5], "repeat") + scored("ann", [0, 0, 1, 0], "sanity")
    ann = of("ann", answers)
    assert (ann["repeats"], ann["same"], ann["repeat_mae"]) == (2, 0.5, 1.5)
    assert (ann["sanity"], ann["passed"]) == (4, 0.75)
    assert (ann["answers"], ann["mean"]) == (9, 3.0)


def test_a_flag_is_counted_and_is_no_score():
    answers = [*scored("ann", [4, 2]), replace(SAID, case_id="9", value="broken")]
    answers += [*scored("bob", [4, 2]), replace(SAID, case_id="9", rater="bob", value="1")]
    ann = of("ann", answers)
    assert (ann["broken"], ann["shared"], ann["mean"]) == (1, 2, 3.0)


def test_what_cannot_be_had_yet_is_none_and_not_a_number():
    ann = of("ann", scored("ann", [4]))
    assert {ann[name] for name in ("sd", "mae", "kappa", "same", "passed", "repeat_mae")} == {None}


def test_a_vote_is_for_an_edit_whichever_side_it_was_on():
    answers = voted("ann", ("p", "q", "left"), ("p", "r", "tie"), ("q", "r", "right"))
    answers += voted("bob", ("q", "p", "right"), ("r", "p", "both_bad"), ("r", "q", "left"))
    answers += voted("ann", ("q", "p", "right"), ("r", "p", "left"), kind="repeat")
    ann = of("ann", answers)
    assert (ann["shared"], ann["agree"]) == (3, pytest.approx(2 / 3))
    assert (ann["repeats"], ann["same"]) == (2, 0.5)
    assert ann["ties"] == pytest.approx(1 / 3)
    assert ann["left"] == 0.5


def test_two_equal_edits_have_no_winner():
    answers = voted("ann", *[("p", "p", v) for v in ("tie", "both_bad", "left")], kind="sanity")
    answers = [replace(a, case_id=str(i)) for i, a in enumerate(answers)]
    assert of("ann", answers)["passed"] == pytest.approx(2 / 3)
