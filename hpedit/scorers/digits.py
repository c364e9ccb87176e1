"""Reading a 0-5 score off a model's first token, or off its text. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Literal

from hpedit.scorers.base import Score

DIGITS = ("0", "1", "2", "3", "4", "5")

Read = Literal["expectation", "argmax", "generated"]

# A digit alone, or in one of the few dresses models put it in. Whatever else surrounds it makes it no answer.
_ANSWER = re.compile(
    r"""(?:(?:final\ )?(?:score|rating|answer)\ ?(?::|is)\ ?)?(?P<digit>[0-5])(?:\ ?/\ ?5)?\.?"""
    r"""|\{\ ?"(?:score|rating|answer)"\ ?:\ ?(?P<json>[0-5])\ ?\}""",
    re.IGNORECASE | re.VERBOSE | re.ASCII,
)
_WIDE = str.maketrans({chr(0xFF10 + digit): str(digit) for digit in range(10)} | {0xFF1A: ":", 0xFF0F: "/"})


def parse_digit(text: str) -> int | None:
    """Return the score that ``text`` states, or None if it states none beyond doubt.

    Accepted, with blanks or asterisks around: a digit 0 to 5; with "/5", with a full stop, or with both; after
    "score", "rating", "answer" or "final ..." and a colon or "is"; and the JSON object {"score": 4}, with nothing
    else in it. Full-width digits and colons (U+FF10 ...), as Chinese input methods write them, are their ASCII kin.

    All else is no answer: reasoning before or after the number (where one digit is the score and which is not is a
    guess), "10", "-1", "4.5", "3-4", "4/10", a quoted "4" in JSON, and numerals in words or in other scripts.
    """
    plain = " ".join(text.translate(_WIDE).strip(" \t\r\n*").split())
    match = _ANSWER.fullmatch(plain)
    return int(match["digit"] or match["json"]) if match else None


def score_from_text(text: str) -> Score:
    """Return the generated integer as a score; missing where there is none."""
    digit = parse_digit(text)
    if digit is None:
        return Score.missing(f"not an answer: expected a digit 0-5, got {_excerpt(text)}")
    return Score(value=float(digit))


def score_from_logprobs(
    logprobs: Sequence[float], read: Literal["expectation", "argmax"] = "expectation", min_mass: float = 0.0
) -> Score:
    """Return the score that a model's first-token distribution expresses.

    Args:
        logprobs: natural log-probabilities of "0" to "5" over the whole vocabulary, -inf for one not listed.
        read: the mean of the normalised distribution, or its mode.
        min_mass: least total probability of the six digits that counts as an answer.
    """
    if len(logprobs) != len(DIGITS):
        raise ValueError(f"logprobs: expected {len(DIGITS)} values, got {len(logprobs)}")
    if any(math.isnan(value) or value == math.inf for value in logprobs):
        return Score.missing("the model's digit log-probabilities are not numbers")
    peak = max(logprobs)
    if peak == -math.inf:
        return Score.missing("not an answer: none of the digits 0-5 was among the likely first tokens")
    # Normalised about the peak, so that digits of tiny mass do not underflow.
    weights = [math.exp(value - peak) for value in logprobs]
    probabilities = tuple(weight / sum(weights) for weight in weights)
    mass = min(1.0, math.exp(peak) * sum(weights))
    value = sum(digit * p for digit, p in enumerate(probabilities))
    if mass < min_mass:
        reason = f"not an answer: the digits 0-5 hold {mass:.3g} of the probability, less than min_mass {min_mass:g}"
        return Score(math.nan, probabilities, mass, reason)
    if read == "argmax":
        value = float(max(range(len(DIGITS)), key=probabilities.__getitem__))
    return Score(value=value, probabilities=probabilities, mass=mass)


def _excerpt(text: str, limit: int = 80) -> str:
    return repr(text if len(text) <= limit else text[:limit] + "...")
