"""A VLM that writes editing instructions, and tells the task of those that there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from PIL import Image
from torch import Tensor

from hpedit.build.instructions import load_instruction_prompts
from hpedit.build.questions import Question, Wish, asked_again, instruction_question, task_question
from hpedit.build.stage import Failure
from hpedit.build.structured import structured
from hpedit.images import from_pil
from hpedit.scorers.hp_scorer import Answer, Backend
from hpedit.scorers.prompts import Message

T = TypeVar("T")
_LEAST_TOKENS = 64


@dataclass(frozen=True)
class Nonsense:
    """A reply that cannot be used, and what is wrong with it."""

    reply: str
    fault: str


# An instruction or a task; None where there is none to be had of this photograph; a reply that cannot be used; or why
# there was no reply.
Reply = str | Nonsense | Failure | None


class InstructionWriter:
    """Asks a VLM, once more where the first reply cannot be used. The same questions have the same answers."""

    def __init__(self, backend: Backend, prompts: str | None = None, max_side: int = 1024) -> None:
        """
        Args:
            backend: the VLM; one of HP-Scorer's backends, with max_tokens of 256 or so.
            prompts: folder with common.yaml and a YAML a task, or some of them; the project's own for the rest.
            max_side: longest side, in pixels, of the pictures that the VLM is shown.
        """
        tokens = getattr(backend, "max_tokens", None)
        if tokens is not None and tokens < _LEAST_TOKENS:
            raise ValueError(
                f"writer.backend.max_tokens: expected at least {_LEAST_TOKENS} for an instruction (256 is ample), "
                f"got {tokens}"
            )
        if max_side < 32:
            raise ValueError(f"writer.max_side: expected at least 32 pixels, got {max_side}")
        self.backend = backend
        self.prompts = load_instruction_prompts(prompts)
        self.max_side = max_side
        self._held: dict[str, Backend] = {}  # the backend held to a schema, by the schema's name

    def check(self) -> None:
        """Raise ConnectionError or ValueError if no answer can be had at all."""
        self.backend.check()

    def shown(self, image: Image.Image) -> Tensor:
        """Return a photograph as the VLM is shown it, uint8 (3, H, W)."""
        small = image.copy()
        small.thumbnail((self.max_side, self.max_side), Image.Resampling.LANCZOS)
        return from_pil(small)

    def write(self, wishes: Sequence[Wish]) -> list[Reply]:
        """Return an instruction for each wish; None where the task does not fit the photograph, Nonsense where two
        replies could not be used, Failure where no reply was to be had."""
        return self._asked("instruction", [instruction_question(self.prompts, wish) for wish in wishes])

    def sort(self, edits: Sequence[tuple[Tensor, str]]) -> list[Reply]:
        """Return the task of each (photograph, instruction), None where it is none of the eight; see ``write``."""
        return self._asked("task", [task_question(self.prompts, image, text) for image, text in edits])

    def _asked(self, name: str, questions: Sequence[Question[T]]) -> list[T | Nonsense | Failure]:
        results = self._round(name, questions)
        again = [i for i, r in enumerate(results) if isinstance(r, Nonsense)]
        second = self._round(name, [_again(questions[i], results[i]) for i in again])
        for i, result in zip(again, second, strict=True):
            results[i] = result
        return results

    def _round(self, name: str, questions: Sequence[Question[T]]) -> list[T | Nonsense | Failure]:
        if not questions:
            return []
        if name not in self._held:
            self._held[name] = structured(self.backend, name, questions[0].schema)
        chats: list[list[Message]] = [question.chat for question in questions]
        answers = self._held[name].answer(chats, generate=True)
        return [_read(question, answer) for question, answer in zip(questions, answers, strict=True)]


def _read(question: Question[T], answer: Answer) -> T | Nonsense | Failure:
    if answer.failure is not None:
        return Failure(answer.failure)
    text = answer.text or ""
    try:
        return question.read(text)
    except ValueError as error:
        return Nonsense(text, str(error))


def _again(question: Question[T], nonsense: T | Nonsense | Failure) -> Question[T]:
    assert isinstance(nonsense, Nonsense)
    return asked_again(question, nonsense.reply, nonsense.fault)
