"""The owner's figures, against the calibration report and examples done by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import fmean, stdev
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpedit.calibration.metrics import figures
from hpedit.rating.agreement import summary
from hpedit.rating.order import Kind
from hpedit.rating.store import Answer

SAID = Answer("ann", "score", "first", "c", "k", None, "4", 1000, 0.0, 0, "1x1@1", "0", "1")


def scored(rater: str, scores: list[int], kind: Kind = "first") -> list[Answer]:
    """Scores of cases 0, 1, ..."""
    return [replace(SAID, rater=rater, kind=kind, case_id=str(i), value=str(s)) for i, s in enumerate(scores)]


def voted(rater: str, *votes: tuple[str, str, str], kind: Kind = "first") -> list[Answer]:
    """Votes (left, right, value) on case c."""
    return [replace(SAID, rater=rater, mode="vote", kind=kind, left=a, right=b, value=v) for a, b, v in votes]


def of(rater: str, answers: list[Answer]) -> dict[str, Any]:
    mode = answers[0].mode
    return next(row for row in summary(answers, mode)["raters"] if row["rater"] == rater)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 5)] * 3), min_size=1, max_size=40))
def test_the_live_figures_are_those_of_the_calibration_report(scores: list[tuple[int, int, int]]):
    ann, bob, cid = map(list, zip(*scores, strict=True))
    live = of("ann", scored("ann", ann) + scored("bob", bob) + scored("cid", cid))
    others = [(b + c) / 2 for b, c in zip(bob, cid, strict=True)]
    report = figures(list(map(float, ann)), others, [str(i) for i in range(len(ann))])
    assert live["mae"] == pytest.approx(report["mae"])
    if math.isnan(report["qwk"]):  # nothing varies: agreement cannot be told from chance
        assert live["kappa"] is None
    else:
        assert live["kappa"] == pytest.approx(report["qwk"], abs=1e-5)


def test_a_rater_is_compared_with_the_mean_of_the_others_on_what_they_share():
    answers = scored("ann", [0, 3, 5, 1]) + scored("bob", [1, 3]) + scored("cid", [2, 5, 5])
    ann = of("ann", answers)
    assert ann["shared"] == 3
    assert ann["mae"] == pytest.approx((1.5 + 1 + 0) / 3)
    assert ann["mean"] == pytest.approx(fmean([0, 3, 5, 1]))
    assert ann["sd"] == pytest.approx(stdev([0, 3, 5, 1]))


def test_hidden_items_tell_of_the_rater_and_do_not_enter_the_scores():
    answers = (
        scored("ann", [4, 2, 3]) + scored("ann", [4, 5], "repeat") + scored("ann", [0, 0, 1, 0], "sanity")
    )
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
