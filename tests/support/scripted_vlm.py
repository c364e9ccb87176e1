"""VLMs whose replies to questions about photographs a test writes: one in the process, one behind HTTP."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hpedit.scorers.hp_scorer import Answer
from hpedit.scorers.prompts import Message
from tests.support.vlm_server import Behaviour, VLMServer

# What an instruction of a task may be, with no more than a VLM could know from the question.
_BY_TASK = {
    "object addition": "Add a red kite to the sky on the left.",
    "object removal": "Remove the small bird at the right edge.",
    "object swapping": "Replace the dog with a brown sheep in the same pose.",
    "background replacement": "Replace the background with a snowy forest.",
    "color change": "Change the colour of the door to dark green.",
    "bokeh": "Keep the dog sharp and blur the trees behind it.",
    "relighting": "Light the scene with warm light from the left.",
    "style transfer": "Turn the whole picture into the style of {style}.",
}


def reply(instruction: str, fits: bool = True) -> str:
    return json.dumps({"seen": "A dog at a door.", "fits": fits, "instruction": instruction})


def task_asked(text: str) -> str:
    """Return the task of a question for an instruction, "" of another question."""
    found = re.search(r"^Task: (.*)$", text, re.MULTILINE)
    return found[1] if found else ""


def good_reply(text: str) -> str:
    """Answer a question for an instruction as a good VLM does."""
    style = re.search(r"used word for word: ([^(\n]*?)(?: \(|$)", text, re.MULTILINE)
    if "Simplified Chinese" in text:
        place = "一二三四五六七八"[list(_BY_TASK).index(task_asked(text))]  # no two tasks of a photo alike
        return reply(
            f"把画面改成新的风格、虚化背景、添加灯光、换成红色、去掉第{place}只小鸟、{style[1] if style else ''}。"
        )
    return reply(_BY_TASK[task_asked(text)].format(style=style[1] if style else ""))


class ScriptedBackend:
    """Answers each chat by ``says``, a function of the chat's texts joined, or of a list of canned Answers.

    ``asked`` has the texts of every chat, ``batches`` how many came at once.
    """

    def __init__(self, says: Callable[[str], str | Answer], max_tokens: int = 256) -> None:
        self.says = says
        self.max_tokens = max_tokens
        self.asked: list[str] = []
        self.batches: list[int] = []

    def check(self) -> None:
        pass

    def answer(self, chats: Sequence[list[Message]], generate: bool) -> list[Answer]:
        assert generate
        texts = ["\n".join(p for m in chat for p in m.parts if isinstance(p, str)) for chat in chats]
        self.asked += texts
        self.batches.append(len(chats))
        said = [self.says(text) for text in texts]
        return [one if isinstance(one, Answer) else Answer(text=one) for one in said]


class ScriptedServer(VLMServer):
    """A server whose text replies are ``says`` of the request's texts; it may refuse JSON schemas as old ones do."""

    def __init__(self, folder: str | Path, says: Callable[[str], str], takes_schema: bool = True) -> None:
        super().__init__(folder, Behaviour())
        self.says = says
        self.takes_schema = takes_schema

    def _chat(self, body: dict[str, Any], number: int) -> tuple[int, dict[str, Any]]:
        if "response_format" in body and not self.takes_schema:
            return 400, {"error": {"message": "unrecognized request argument: response_format"}}
        status, answer = super()._chat(body, number)
        if status == 200 and body["max_tokens"] > 8:
            parts = [p for m in body["messages"] for p in _parts(m["content"])]
            answer["choices"][0]["message"]["content"] = self.says("\n".join(parts))
        return status, answer


def _parts(content: str | list[dict[str, Any]]) -> list[str]:
    return [content] if isinstance(content, str) else [p["text"] for p in content if p["type"] == "text"]
