"""What a VLM is asked about a photograph: an instruction for a task, or which task an instruction is. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from torch import Tensor

from hpedit.build.instructions import InstructionPrompts, Language, Option, TaskPrompt
from hpedit.build.replies import INSTRUCTION_SCHEMA, NO_TASK, TASK_SCHEMA, read_instruction, read_task
from hpedit.scorers.prompts import Message, quoted
from hpedit.tasks import TASKS

T = TypeVar("T")


@dataclass(frozen=True)
class Wish:
    """An instruction to be written.

    Attributes:
        photo_id: of the photograph; what is drawn for it hangs on its id, not on its place.
        image: the photograph, uint8 (3, H, W).
        task: of the instruction.
        language: of the instruction.
        seed: of what is drawn.
    """

    photo_id: str
    image: Tensor
    task: str
    language: Language
    seed: int


@dataclass(frozen=True)
class Question(Generic[T]):
    """A chat, the JSON schema of its answer, and how the answer is read (raising ValueError where it is none)."""

    chat: list[Message]
    schema: dict[str, Any]
    read: Callable[[str], T]


def instruction_question(prompts: InstructionPrompts, wish: Wish) -> Question[str | None]:
    """Ask for an instruction; the answer is None where the task does not fit the photo.

    What all questions share comes first, then the photograph, then the task, so that a server with a prefix cache
    reads each of them once.
    """
    prompt = prompts.tasks[wish.task]
    drawn = {
        name: draw.option(wish.seed, wish.photo_id, wish.task, name) for name, draw in prompt.draws.items()
    }
    names = [drawn[name].name(wish.language) for name, draw in prompt.draws.items() if draw.named]
    marks = prompt.marks[wish.language]
    chat = [
        Message("system", (_common(prompts),)),
        Message("user", (wish.image, _task(prompts, prompt, wish, drawn))),
    ]
    return Question(
        chat, INSTRUCTION_SCHEMA, lambda text: read_instruction(text, wish.language, marks, names)
    )


def task_question(prompts: InstructionPrompts, image: Tensor, instruction: str) -> Question[str | None]:
    """Ask which of the eight tasks an instruction is; the answer is None where it is none of them."""
    names = "\n".join(f"- {task}" for task in (*TASKS, NO_TASK))
    text = f"{prompts.common.sort}\n\nInstruction: {quoted(instruction)}\n\nThe names:\n{names}"
    return Question([Message("user", (image, text))], TASK_SCHEMA, read_task)


def asked_again(question: Question[T], reply: str, fault: str) -> Question[T]:
    """Return the question with what was wrong about its first answer."""
    *before, last = question.chat
    words = (
        f"Your last reply was {quoted(reply[:500])}. It cannot be used: {fault}. Reply again, as asked above."
    )
    return Question([*before, Message(last.role, (*last.parts, words))], question.schema, question.read)


def _common(prompts: InstructionPrompts) -> str:
    rules = "\n".join(f"- {rule}" for rule in prompts.common.rules)
    return f"{prompts.common.role}\n\nRules:\n{rules}\n\n{prompts.common.reply}"


def _task(prompts: InstructionPrompts, prompt: TaskPrompt, wish: Wish, drawn: dict[str, Option]) -> str:
    lines = [
        f"Task: {wish.task.replace('_', ' ')}",
        f"It fits where this holds: {prompt.fits}",
        f"The instruction: {prompt.write}",
        *(f"{prompt.draws[name].ask}: {_spelled(option, wish.language)}" for name, option in drawn.items()),
        f"Language: {prompts.common.languages[wish.language]}",
        "Instructions of other photographs, to show the tone:",
        *(f"- {example}" for example in prompt.examples[wish.language]),
    ]
    return "\n".join(lines)


def _spelled(option: Option, language: Language) -> str:
    name = option.name(language)
    return f"{name} ({option.about})" if option.about else name
