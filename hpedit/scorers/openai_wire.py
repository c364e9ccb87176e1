"""Chats and answers as the OpenAI chat-completions API spells them. Pure."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from hpedit.images import png_data_url
from hpedit.scorers.digits import DIGITS
from hpedit.scorers.hp_scorer import Answer
from hpedit.scorers.prompts import Message


def messages(chat: list[Message], urls: dict[int, str]) -> list[dict[str, Any]]:
    """Spell a chat out, its pictures as lossless PNG data URLs.

    ``urls`` remembers by identity the pictures that were encoded already, while the caller keeps them alive.
    """
    return [{"role": message.role, "content": _content(message, urls)} for message in chat]


def answer_of(choice: dict[str, Any]) -> Answer:
    """Read one choice of a reply."""
    if refusal := choice["message"].get("refusal"):
        return Answer(failure=f"the model refused: {refusal}")
    if choice.get("finish_reason") == "content_filter":
        return Answer(failure="the server's content filter stopped the answer")
    if has_logprobs(choice):
        return Answer(logprobs=tuple(_logprob(choice, digit) for digit in DIGITS))
    return Answer(text=text_of(choice))


def text_of(choice: dict[str, Any]) -> str:
    return choice["message"].get("content") or ""


def listed(choice: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the tokens listed for the first position, each with its ``logprob``."""
    positions = (choice.get("logprobs") or {}).get("content") or []
    return (positions[0].get("top_logprobs") or []) if positions else []


def has_logprobs(choice: dict[str, Any]) -> bool:
    return bool(listed(choice))


def has_every_digit(choice: dict[str, Any]) -> bool:
    return set(DIGITS) <= {entry["token"] for entry in listed(choice)}


def _logprob(choice: dict[str, Any], digit: str) -> float:
    """Return the log-probability of ``digit``: -inf if it is not listed, NaN if the server sent null."""
    for entry in listed(choice):
        if entry["token"] == digit:
            return math.nan if entry["logprob"] is None else float(entry["logprob"])
    return -math.inf


def _content(message: Message, urls: dict[int, str]) -> str | list[dict[str, Any]]:
    if len(message.parts) == 1 and isinstance(message.parts[0], str):
        return message.parts[0]  # servers differ in whether a system turn may be a list
    return [_part(part, urls) for part in message.parts]


def _part(part: str | Tensor, urls: dict[int, str]) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if id(part) not in urls:
        urls[id(part)] = png_data_url(part)
    return {"type": "image_url", "image_url": {"url": urls[id(part)]}}
