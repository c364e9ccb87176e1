"""The help of ``python -m hpedit COMMAND``: what a command does, examples as they are typed, what comes out, flags."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable, Iterable
from typing import Any

from jsonargparse import ArgumentParser

from hpedit.terminal import ShortHelp


def about(command: Callable[..., object]) -> str:
    """Return what a command's help says ahead of its flags: all of its docstring but Args."""
    return (inspect.getdoc(command) or "").split("\n\nArgs:")[0]


class CommandParser(ArgumentParser):
    """A parser of a command or subcommand whose help begins with what ``about`` says of it."""

    def add_function_arguments(self, function: Callable[..., object], *args: Any, **kwargs: Any) -> list[str]:
        # jsonargparse would show a subcommand's first line alone, without its examples.
        self.description = about(function)
        return super().add_function_arguments(function, *args, **kwargs)


class CommandHelp(ShortHelp):
    """Fits the terminal: prose is filled, and what is indented, an example, stands as it was written."""

    def add_usage(
        self,
        usage: str | None,
        actions: Iterable[argparse.Action],
        groups: Iterable[Any],
        prefix: str | None = None,
    ) -> None:
        # The flags come below, one by one; all of them in a row are a thicket.
        words = [_word(action) for action in actions if not action.option_strings]
        short = " ".join([self._prog.replace(" [options]", ""), *words, "[options]"])
        super().add_usage(short, actions, groups, prefix)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        blocks = text.split("\n\n")
        return "\n\n".join(
            block if block.startswith(" ") else super(CommandHelp, self)._fill_text(block, width, indent)
            for block in blocks
        )


def _word(action: argparse.Action) -> str:
    if isinstance(action, argparse._SubParsersAction):
        return "{" + ",".join(action.choices) + "}"
    return action.dest
