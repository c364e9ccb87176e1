"""Prompts by which a VLM writes editing instructions: one YAML a task, and one of what all tasks share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Literal, TypeVar

import yaml
from jsonargparse import ArgumentError, ArgumentParser

from hpedit.noise import key_number
from hpedit.scorers.prompts import default_folder
from hpedit.tasks import TASKS

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")
T = TypeVar("T")


@dataclass(frozen=True)
class Option:
    """Something that can be asked for: its name in both languages, and what marks it."""

    en: str
    zh: str
    about: str = ""

    def name(self, language: Language) -> str:
        return self.en if language == "en" else self.zh


@dataclass(frozen=True)
class Draw:
    """What is drawn for each photo, so that instructions vary as a list of them should.

    Attributes:
        ask: how the VLM is told of it.
        options: to draw from.
        named: whether an instruction must hold the option's name; otherwise it is a suggestion.
    """

    ask: str
    options: tuple[Option, ...]
    named: bool = False

    def option(self, *key: int | str) -> Option:
        """Return the option that ``key`` draws."""
        return self.options[key_number(*key) % len(self.options)]


@dataclass(frozen=True)
class TaskPrompt:
    """How instructions of one task are written.

    Attributes:
        version: changes with the wording.
        provenance: where its criteria come from.
        fits: which photographs the task suits.
        write: what an instruction says.
        marks: words, or beginnings of words, of which an instruction of this task has at least one, by language.
        examples: good instructions by language, of other photographs.
        draws: what is drawn for each photo, by name.
    """

    version: str
    provenance: str
    fits: str
    write: str
    marks: Mapping[Language, tuple[str, ...]]
    examples: Mapping[Language, tuple[str, ...]]
    draws: Mapping[str, Draw]


@dataclass(frozen=True)
class CommonPrompt:
    """What all tasks share.

    Attributes:
        version: changes with the wording.
        provenance: where its criteria come from.
        role: what the VLM is and does.
        rules: of every instruction.
        languages: how each language is asked for.
        reply: the form of the answer.
        sort: how the VLM is asked which task an instruction is.
    """

    version: str
    provenance: str
    role: str
    rules: tuple[str, ...]
    languages: Mapping[Language, str]
    reply: str
    sort: str


@dataclass(frozen=True)
class InstructionPrompts:
    """All that the VLM is told, the tasks' prompts by task."""

    common: CommonPrompt
    tasks: Mapping[str, TaskPrompt]


def load_instruction_prompts(folder: str | None = None) -> InstructionPrompts:
    """Read common.yaml and a YAML a task. A folder of one's own may hold some; the rest are the project's.

    Raises ValueError that names the file and what is wrong with it.
    """
    shipped = default_folder() / "instructions"
    own = shipped if folder is None else Path(folder).expanduser()
    names = ("common", *TASKS)
    if not any((own / f"{name}.yaml").is_file() for name in names):
        raise ValueError(f"prompts: {own} has none of {', '.join(f'{name}.yaml' for name in names)}")
    files = {
        name: next(f for f in (own / f"{name}.yaml", shipped / f"{name}.yaml") if f.is_file())
        for name in names
    }
    tasks = {task: _read(files[task], TaskPrompt) for task in TASKS}
    for task, prompt in tasks.items():
        _expect_both_languages(prompt, files[task])
    return InstructionPrompts(_read(files["common"], CommonPrompt), tasks)


def _read(file: Path, kind: type[T]) -> T:
    try:
        return _parse(file.read_text(encoding="utf-8"), kind)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ArgumentError, TypeError, ValueError) as error:
        raise ValueError(f"prompts: {file}: {error}") from error


@cache  # by the text itself: what is parsed once need not be parsed again
def _parse(text: str, kind: type[T]) -> T:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, None)
    parsed = parser.instantiate_classes(parser.parse_object(yaml.safe_load(text)))
    return kind(**{field.name: parsed[field.name] for field in fields(kind)})  # type: ignore[arg-type]


def _expect_both_languages(prompt: TaskPrompt, file: Path) -> None:
    for name in ("marks", "examples"):
        if missing := [code for code in LANGUAGES if not getattr(prompt, name).get(code)]:
            raise ValueError(
                f"prompts: {file}: {name}: wanted some for each of en and zh, none for {missing[0]}"
            )
    if empty := [name for name, draw in prompt.draws.items() if not draw.options]:
        raise ValueError(f"prompts: {file}: draws.{empty[0]}: wanted options, got none")
