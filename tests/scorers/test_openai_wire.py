"""Replies of servers, as they are and as they should not be."""

import math
from typing import Any

import pytest

from hpedit.scorers.openai_wire import answer_of, has_every_digit


def choice(listed: list[tuple[str, float | None]] | None = None, **message: Any) -> dict[str, Any]:
    entries = [{"token": token, "logprob": logprob} for token, logprob in listed or []]
    logprobs = {"content": [{"token": "x", "logprob": -1.0, "top_logprobs": entries}]} if listed else None
    return {"message": {"role": "assistant", **message}, "logprobs": logprobs, "finish_reason": "stop"}


def test_digits_are_read_by_their_exact_token() -> None:
    answer = answer_of(choice([("5", -0.1), (" 4", -0.2), ("4", -3.0), ("55", -4.0), ("no", -5.0)]))
    assert answer.logprobs == (-math.inf,) * 4 + (-3.0, -0.1)


def test_a_null_log_probability_is_not_a_number() -> None:
    answer = answer_of(choice([("5", None)]))
    assert answer.logprobs is not None
    assert math.isnan(answer.logprobs[5])


def test_all_six_digits_must_be_listed_for_the_exact_read() -> None:
    assert has_every_digit(choice([(d, -1.0) for d in "012345"]))
    assert not has_every_digit(choice([(d, -1.0) for d in "01234"]))


def test_a_refusal_is_a_failure_with_its_words() -> None:
    failure = answer_of(choice([("5", -0.1)], content=None, refusal="I cannot look at people.")).failure
    assert failure is not None
    assert "I cannot look at people." in failure


def test_a_filtered_answer_is_a_failure() -> None:
    assert answer_of({**choice(content="5"), "finish_reason": "content_filter"}).failure


@pytest.mark.parametrize(
    "logprobs", [None, {}, {"content": None}, {"content": []}, {"content": [{"token": "5"}]}]
)
def test_without_log_probabilities_the_text_is_the_answer(logprobs: Any) -> None:
    answer = answer_of({**choice(content="5"), "logprobs": logprobs})
    assert answer.text == "5"
    assert answer.logprobs is None


def test_an_empty_reply_is_empty_text() -> None:
    assert answer_of(choice(content=None)).text == ""
