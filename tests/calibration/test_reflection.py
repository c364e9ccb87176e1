"""What a reflector is told, and what is read of its reply."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpedit.calibration.reflection import (
    by_disagreement,
    checks_text,
    feedback,
    parse_checks,
    side_by_side,
)
from hpedit.images import from_data_url
from hpedit.pictures import Picture
from hpedit.scorers.base import Score
from hpedit.scorers.prompts import load_prompts
from tests.support.rated import rated_edit

line = st.text(st.characters(codec="ascii", exclude_categories=("Cc",)), min_size=1).map(
    lambda text: " ".join(text.split())
)


@given(st.lists(line.filter(bool), unique=True, max_size=8))
def test_a_list_is_read_back_as_it_was_written(checks: list[str]):
    assert parse_checks(checks_text(tuple(checks)), most=8) == tuple(checks)


def test_the_shipped_prompts_survive_the_way_there_and_back():
    for prompt in load_prompts().values():
        assert parse_checks(checks_text(prompt.checks), most=20) == prompt.checks


@pytest.mark.parametrize(
    "reply",
    [
        "- Is it gone?\n- Is it sharp?",
        "1. Is it gone?\n2) Is it sharp?",
        "Is it gone?\n\n  Is it sharp?  \nIs it gone?",
        "Here is my list:\n* Is it gone?\n* Is it sharp?\n\nI hope it helps.",
        "- Is it gone?\n- Is it sharp?\n- Is it one too many?",
    ],
)
def test_lists_are_read_however_they_are_dressed(reply: str):
    assert parse_checks(reply, most=2) == ("Is it gone?", "Is it sharp?")


def test_nothing_is_an_empty_list():
    assert parse_checks("  \n", most=3) == ()


def test_a_reflector_is_told_how_far_judge_and_people_are_apart():
    edit = rated_edit("a", 1.0, 2.0, 3.0)
    told = feedback(edit, Score(4.2, (0.0, 0.0, 0.0, 0.0, 0.8, 0.2), 0.99))
    assert told["People"] == "2.0 on average (3 raters, from 1 to 3)"
    assert told["Judge"] == "4.2 (probabilities 4: 80%, 5: 20%)"
    assert told["Feedback"] == "The judge is too kind by 2.2."
    assert told["Editing instruction"] == '"Edit a."'
    assert feedback(edit, Score(1.0))["Feedback"] == "The judge is too strict by 1.0."
    assert feedback(edit, Score(2.3))["Feedback"] == "Judge and people agree."
    missing = feedback(rated_edit("b", 4.0), Score.missing("503: overloaded"))
    assert missing["Judge"] == "no score (503: overloaded)"
    assert missing["People"] == "4.0 (one rater)"
    assert "no usable answer" in missing["Feedback"]


def test_the_largest_disagreement_comes_first_and_the_missing_last():
    edits = [rated_edit(name, 3.0) for name in "abcd"]
    values = [3.5, math.nan, 0.0, 5.0]
    order = by_disagreement([(e, Score(v)) for e, v in zip(edits, values, strict=True)])
    assert [edit.case.case_id for edit, _ in order] == ["c", "d", "a", "b"]


def test_a_is_on_the_left_and_b_on_the_right():
    url = side_by_side(rated_edit("a", 3.0, grey=200), side=20)
    assert url is not None
    pair = from_data_url(url)
    assert pair.shape == (3, 20, 48)
    assert (int(pair[0, 0, 0]), int(pair[0, 0, -1])) == (10, 200)


def test_a_picture_that_cannot_be_read_is_left_out():
    edit = rated_edit("a", 3.0)
    object.__setattr__(edit.candidate, "image", Picture(b"no picture"))
    assert side_by_side(edit) is None
