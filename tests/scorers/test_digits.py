"""A score is the exact expectation over the digits, or it is missing."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpedit.scorers.digits import parse_digit, score_from_logprobs, score_from_text

LOGPROBS = st.lists(st.floats(-60, -1.8), min_size=6, max_size=6)


def expectation(logprobs: list[float]) -> float:
    """By hand in extended precision, with no trick against underflow."""
    p = np.exp(np.asarray(logprobs, dtype=np.longdouble))
    return float((np.arange(6) * p).sum() / p.sum())


@given(LOGPROBS)
def test_the_score_is_the_expectation_of_the_normalised_digits(logprobs: list[float]) -> None:
    score = score_from_logprobs(logprobs)
    assert score.value == pytest.approx(expectation(logprobs), abs=1e-12)
    assert score.probabilities is not None
    assert sum(score.probabilities) == pytest.approx(1.0, abs=1e-12)
    assert score.mass == pytest.approx(float(np.exp(np.asarray(logprobs)).sum()), rel=1e-12)


@given(LOGPROBS, st.floats(-900, 0))
def test_the_score_does_not_depend_on_how_much_was_left_to_other_tokens(
    logprobs: list[float], shift: float
) -> None:
    moved = [value + shift for value in logprobs]
    assert score_from_logprobs(moved).value == pytest.approx(score_from_logprobs(logprobs).value, abs=1e-9)


def test_mode_and_mean_differ_where_the_judge_is_torn() -> None:
    logprobs = [math.log(p) for p in (0.4, 0.01, 0.01, 0.01, 0.3, 0.27)]
    assert score_from_logprobs(logprobs, "argmax").value == 0.0
    assert score_from_logprobs(logprobs).value == pytest.approx(0.01 + 0.02 + 0.03 + 1.2 + 1.35)
    assert score_from_logprobs(logprobs).argmax == 0


def test_a_sure_judge_gives_the_digit_itself() -> None:
    for digit in range(6):
        logprobs = [0.0 if d == digit else -math.inf for d in range(6)]
        assert score_from_logprobs(logprobs).value == digit
        assert score_from_logprobs(logprobs).entropy == 0.0


def test_unlisted_digits_count_as_impossible() -> None:
    score = score_from_logprobs([-math.inf, -math.inf, -math.inf, math.log(0.2), math.log(0.6), -math.inf])
    assert score.value == pytest.approx(3.75)
    assert score.mass == pytest.approx(0.8)


def test_too_little_mass_is_not_an_answer_but_keeps_its_distribution() -> None:
    score = score_from_logprobs([math.log(0.05)] * 6, min_mass=0.5)
    assert math.isnan(score.value)
    assert score.failure is not None
    assert "0.3" in score.failure
    assert "min_mass" in score.failure
    assert score.mass == pytest.approx(0.3)
    assert score_from_logprobs([math.log(0.05)] * 6, min_mass=0.25).value == pytest.approx(2.5)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_log_probabilities_that_are_no_numbers_are_missing(bad: float) -> None:
    score = score_from_logprobs([-1.0, -2.0, bad, -3.0, -3.0, -4.0])
    assert math.isnan(score.value)
    assert score.failure


def test_no_digit_listed_is_missing() -> None:
    assert math.isnan(score_from_logprobs([-math.inf] * 6).value)


def test_the_wrong_number_of_digits_is_an_error() -> None:
    with pytest.raises(ValueError, match="expected 6 values, got 5"):
        score_from_logprobs([-1.0] * 5)


@pytest.mark.parametrize(
    ("text", "digit"),
    [
        ("4", 4),
        (" 0\n", 0),
        ("5.", 5),
        ("4/5", 4),
        ("3 / 5", 3),
        ("Score: 4.", 4),
        ("score: 2/5", 2),
        ("**3**", 3),
    ]
    + [
        ('{"score": 4}', 4),
        ('{ "Rating":0 }', 0),
        ("\uff14", 4),
        ("Score\uff1a\uff13", 3),
        ("\uff15\uff0f5", 5),
    ]
    + [("Rating: 5", 5), ("The score is 4", None), ("Answer: 1", 1), ("Final score is 2.", 2)],
)
def test_a_plain_statement_is_read(text: str, digit: int | None) -> None:
    assert parse_digit(text) == digit


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "6",
        "10",
        "55",
        "-1",
        "- 1",
        "4.5",
        "4,5",
        "3-4",
        "3 or 4",
        "4/10",
        "4/5/5",
        "5 out of 10",
        "+3",
    ]
    + [
        "I cannot rate this picture.",
        "Score:",
        "Score: 10",
        "Score: -1",
        "1. Is the object gone? Yes.",
        "0-5",
    ]
    + ['{"score": "4"}', '{"score": 4, "why": 5}', '{"score": [4]}', '{"score": 10}', "[4]", '{"quality": 4}']
    + [
        "\u56db",
        "\u4e94\u5206",
        "\uff11\uff10",
        "\uff0d1",
        "\u0664",
        "\u00b2",
        "IV",
        "four",
        "NaN",
        "1e1",
        "05",
        "4 5",
        "5%",
        "Score: 4, quality: 2",
    ],
)
def test_anything_else_is_missing_and_never_a_number(text: str) -> None:
    assert parse_digit(text) is None
    score = score_from_text(text)
    assert math.isnan(score.value)
    assert score.failure is not None
    assert "not an answer" in score.failure


@given(st.text(max_size=12))
def test_no_text_gives_a_number_outside_the_scale(text: str) -> None:
    digit = parse_digit(text)
    assert digit is None or str(digit) in text


def test_a_long_refusal_is_quoted_in_part() -> None:
    failure = score_from_text("I am sorry, " * 50).failure
    assert failure is not None
    assert "I am sorry" in failure
    assert len(failure) < 200
