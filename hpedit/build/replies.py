"""What a VLM answered when it was asked for an instruction: read leniently, judged strictly. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from hpedit.build.instructions import Language
from hpedit.tasks import TASKS, canonical_task

# "seen" comes first so that the model looks at the picture before it decides.
INSTRUCTION_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "seen": {"type": "string"},
        "fits": {"type": "boolean"},
        "instruction": {"type": "string"},
    },
    "required": ["seen", "fits", "instruction"],
    "additionalProperties": False,
}
NO_TASK = "none"
TASK_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"task": {"type": "string", "enum": [*TASKS, NO_TASK]}},
    "required": ["task"],
    "additionalProperties": False,
}
# Least and most words of an English instruction, and characters of a Chinese one.
LENGTHS: Mapping[Language, tuple[int, int]] = {"en": (3, 80), "zh": (4, 160)}

_THOUGHTS = re.compile(r".*</think>", re.DOTALL)
_HAN = re.compile("[\u4e00-\u9fff]")
_MARKUP = re.compile(r"[\r\n\t]|```|\*\*|__|~~|<[|/a-z]|\[INST|\]\(|^\s*(?:[-*#>]|\d+[.)])\s", re.IGNORECASE)
# Capital letters only: "turn the picture a deep blue" is fine. Also "tu A", "tu pian A", "tu xiang A" in Chinese.
_LABELS = re.compile(r"\b(?i:image|picture|photo|figure)\s+(?:[AB]|\d)\b|\u56fe(?:\u7247|\u50cf)?\s*[AB12]")
# Also "hao de" (all right), "yi xia shi" (as follows) and "zhi ling:" (instruction).
_TALK = re.compile(
    r"\s*(?:sure\b|here(?: is|'s)\b|(?:editing )?instruction\s*:|sorry\b|as an ai\b|i\s|i'm\b|i'll\b"
    r"|\u597d\u7684|\u4ee5\u4e0b\u662f|\u6307\u4ee4[:\uff1a])",
    re.IGNORECASE,
)


def read_instruction(text: str, language: Language, marks: Sequence[str], names: Sequence[str]) -> str | None:
    """Return the instruction in a reply; None where it says that the task does not fit the photo.

    Args:
        text: the reply.
        language: wanted.
        marks: words, or beginnings of them, of which the instruction must have one.
        names: texts that it must have all of. The case of letters does not matter in either.

    Raises ValueError that says what is wrong, in words that are equal for replies of the same fault.
    """
    record = read_object(text)
    fits, instruction = record.get("fits"), record.get("instruction")
    if fits in (False, "false", "no"):
        return None
    if fits not in (True, "true", "yes"):
        raise ValueError('"fits" is neither true nor false')
    if not isinstance(instruction, str) or not instruction.strip():
        raise ValueError('"instruction" is no text')
    plain = instruction.strip()
    if fault := _fault(plain, language, marks, names):
        raise ValueError(fault)
    return plain


def read_task(text: str) -> str | None:
    """Return the task that a reply names, None where it says that it is none. Raises ValueError on anything else."""
    name = read_object(text).get("task")
    if not isinstance(name, str):
        raise ValueError('"task" is no text')
    if name.strip().lower() == NO_TASK:
        return None
    try:
        return canonical_task(name)
    except ValueError:
        raise ValueError('"task" is none of the names given') from None


def read_object(text: str) -> dict[str, Any]:
    """Return the last JSON object of a reply, whatever is around it: thoughts, a code fence, polite words.

    Raises ValueError where there is none.
    """
    answer = _THOUGHTS.sub("", text)
    found: list[dict[str, Any]] = []
    start = answer.find("{")
    while start >= 0:
        try:
            value, length = json.JSONDecoder(strict=False).raw_decode(answer[start:])
        except ValueError:
            length = 1
        else:
            found.append(value)
        start = answer.find("{", start + length)
    if not found:
        raise ValueError("the reply holds no complete JSON object")
    return found[-1]


def _fault(text: str, language: Language, marks: Sequence[str], names: Sequence[str]) -> str | None:
    """Return what is wrong with an instruction, None where nothing is."""
    low, high = LENGTHS[language]
    length = len(text.split()) if language == "en" else len(text)
    folded = text.casefold()
    if _MARKUP.search(text):
        return "the instruction has markup or line breaks"
    if _LABELS.search(text):
        return 'the instruction speaks of "image A" or the like'
    if _TALK.match(text):
        return "the instruction begins with talk that is none"
    if not _is_in(text, language):
        return f"the instruction is not in the language {language}"
    if not low <= length <= high:
        unit = "words" if language == "en" else "characters"
        return f"the instruction is too {'short' if length < low else 'long'}: wanted {low} to {high} {unit}"
    if not any(mark.casefold() in folded for mark in marks):
        return f"the instruction does not ask for this task: it has none of the words {', '.join(marks)}"
    if lacking := [name for name in names if name.casefold() not in folded]:
        return f"the instruction does not name {lacking[0]!r}"
    return None


def _is_in(text: str, language: Language) -> bool:
    han, letters = len(_HAN.findall(text)), sum(map(str.isalpha, text))
    if language == "en":
        return letters > 0 and all(ord(c) < 0x250 for c in text if c.isalpha())
    return 2 * han > letters
