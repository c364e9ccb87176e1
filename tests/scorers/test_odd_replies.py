"""Ten thousand odd replies: each gives the number that a strict reader finds in it, or none."""

import json
import math
import random
from collections.abc import Sequence

import pytest

from hpedit.scorers.digits import score_from_text
from hpedit.scorers.hp_scorer import Answer, HPScorer
from hpedit.scorers.openai_wire import answer_of
from hpedit.scorers.prompts import Message
from tests.scorers.conftest import MakeRequests

COUNT = 10_000
# Replies that state a number on this scale; the number stands where the braces are.
PLAIN = [
    "{}",
    " {}\n",
    "{}.",
    "{}/5",
    "{} / 5",
    "Score: {}",
    "score: {}.",
    "Rating: {}",
    "**{}**",
    "Answer: {}/5",
]
PLAIN += ["Final score: {}", "Final rating is {}", '{{"score": {}}}', '{{"rating":{} }}']
# Replies that state none, whatever the number: out of the scale, torn, hedged, reasoned, or about something else.
ODD = [
    "-{}",
    "{}0",
    "1{}",
    "{}.5",
    "{}-5",
    "0-{}",
    "{} or 5",
    "{}/10",
    "{}%",
    "+{}",
    "0{}",
    "{}e0",
    "#{}",
    "{}{}",
    "{}:",
]
ODD += [
    "Score: {}, quality: 5",
    "I would give it {}",
    "The edit has {} faults. Score: 5",
    "Score: 5 minus {}",
    "{} stars",
]
ODD += [
    "<think>maybe {}</think>5",
    '{{"score": "{}"}}',
    '{{"score": {}, "reason": 3}}',
    '{{"score": -{}}}',
    "[{}]",
]
ODD += [
    "{}\n5",
    "5 {}",
    "{}, {}",
    "$\\boxed{{{}}}$",
    "Image {} is better",
    "score={}",
    "{}/5/5",
    "{}!",
    "~{}",
    "({})",
]
# Replies without an ASCII digit.
BARE = [
    "",
    " ",
    "\n",
    "NaN",
    "nan",
    "inf",
    "-inf",
    "None",
    "null",
    "five",
    "IV",
    "\u56db",
    "\u4e94\u5206",
    "\u0664",
    "\u00b2",
]
BARE += [
    "I'm sorry, I can't help with that.",
    "\u5bf9\u4e0d\u8d77",
    "Score:",
    "N/A",
    "**",
    "{}",
    "[]",
    '{"score": null}',
]
BARE += ["\u2463", "\u3007", "\U0001d7db", "score: NaN", "\x00", "\ufeff", "<|im_end|>", "/5", "."]
# Dress that changes nothing.
BLANKS = ["", " ", "\n", "\t", "  \n", "** ", " *"]


def replies() -> list[tuple[str, float | None]]:
    """Replies with what they state; None is no answer."""
    draw = random.Random(20261121)
    drawn: list[tuple[str, float | None]] = []
    while len(drawn) < COUNT:
        kind, digit = draw.randrange(5), draw.randrange(6)
        dress = draw.choice(BLANKS)
        if kind == 0:
            drawn.append((dress + draw.choice(PLAIN).format(digit) + dress, float(digit)))
        elif kind == 1:
            drawn.append(
                (dress + draw.choice(PLAIN).format(draw.choice([6, 7, 8, 9, 10, 50, 100, 4.0, 2.5])), None)
            )
        elif kind == 2:
            drawn.append((dress + draw.choice(ODD).format(digit, digit) + dress, None))
        elif kind == 3:
            drawn.append((draw.choice(BARE), None))
        else:  # torn out of prose that holds several numbers, or noise
            noise = "".join(draw.choice("0123456789 ./-+eE\u0665\u00bd") for _ in range(draw.randrange(2, 9)))
            drawn.append((f"First, {noise}: the sky. {digit}", None))
    return drawn


REPLIES = replies()


def test_no_reply_gives_a_wrong_number() -> None:
    wrong = []
    for text, stated in REPLIES:
        score = score_from_text(text)
        had = None if math.isnan(score.value) else score.value
        if had != stated or (had is None) != (score.failure is not None):
            wrong.append((text, stated, had))
    assert wrong == []
    assert sum(stated is not None for _, stated in REPLIES) > 1000


@pytest.mark.parametrize("read", ["expectation", "argmax", "generated"])
def test_the_scorer_passes_on_nothing_else(read: str, make_requests: MakeRequests) -> None:
    """Through the reply of a server, the answer of the backend and the reading of the scorer."""

    class Talker:
        def check(self) -> None: ...

        def answer(self, chats: Sequence[list[Message]], generate: bool) -> list[Answer]:
            choices = [{"message": {"content": text}} for text, _ in REPLIES[: len(chats)]]
            return [answer_of(json.loads(json.dumps(choice))) for choice in choices]

    requests = make_requests(2) * 500
    scores = HPScorer(Talker(), read=read).score(requests)  # type: ignore[arg-type]
    assert [None if math.isnan(s.value) else s.value for s in scores] == [n for _, n in REPLIES[:1000]]


ODD_CHOICES = [
    {"message": {"content": None}},
    {"message": {"content": "4"}, "finish_reason": "content_filter"},
    {"message": {"content": "5", "refusal": "I cannot judge people."}},
    {"message": {"content": "5"}, "logprobs": {"content": [{"token": "5", "top_logprobs": []}]}},
    {"message": {"content": "5"}, "logprobs": {"content": []}},
    {"message": {"content": "5"}, "logprobs": None},
]


@pytest.mark.parametrize("choice", ODD_CHOICES)
def test_odd_choices_are_an_answer_or_a_reason(choice: dict, make_requests: MakeRequests) -> None:
    class One:
        def check(self) -> None: ...

        def answer(self, chats: Sequence[list[Message]], generate: bool) -> list[Answer]:
            return [answer_of(choice)]

    [score] = HPScorer(One()).score(make_requests(1))
    sound = choice["message"]["content"] == "5" and "refusal" not in choice["message"]
    assert score.value == 5.0 if sound else (math.isnan(score.value) and score.failure)


@pytest.mark.parametrize("logprob", [math.nan, math.inf, -math.inf, None])
def test_log_probabilities_that_are_no_numbers_are_missing(
    logprob: float | None, make_requests: MakeRequests
) -> None:
    entries = [{"token": str(digit), "logprob": logprob} for digit in range(6)]

    class Broken:
        def check(self) -> None: ...

        def answer(self, chats: Sequence[list[Message]], generate: bool) -> list[Answer]:
            return [
                answer_of({"message": {"content": "4"}, "logprobs": {"content": [{"top_logprobs": entries}]}})
            ]

    [score] = HPScorer(Broken()).score(make_requests(1))
    assert math.isnan(score.value)
    assert score.failure
