"""``python -m hpedit COMMAND``: what is not a run of train.py. Each command is a module of hpedit.commands."""

from __future__ import annotations

import os
import sys
from importlib import import_module

from jsonargparse import auto_cli

from hpedit.terminal import TRACEBACK, is_message

# A command's module has one function, or a list of subcommands, called COMMAND; its signature is the command line.
COMMANDS = {
    "score": "score edits with HP-Scorer, into Parquet and CSV",
    "serve-scorer": "print, or run, the vLLM command that serves a judge",
    "calibrate": "how well a scorer agrees with people, and prompts that agree better",
    "rate": "a page on which people rate edits",
}


def overview() -> str:
    """Return what ``python -m hpedit --help`` prints."""
    lines = [f"  {name:<14}{purpose}" for name, purpose in COMMANDS.items()]
    usage = "usage: python -m hpedit COMMAND [--help] ...\n\nTraining and evaluation are train.py's; the rest is here:\n\n"
    return usage + "\n".join(lines)


def main(args: list[str] | None = None) -> None:
    """Run the command that ``args`` (or the command line) names.

    Raises ValueError that lists the commands on a name that is none of them.
    """
    words = sys.argv[1:] if args is None else args
    if not words or words[0] in ("-h", "--help"):
        print(overview())
        return
    name = words[0]
    if name not in COMMANDS:
        raise ValueError(f"{name}: wanted one of the commands {', '.join(COMMANDS)}")
    # Imported late: --help and a wrong name are told at once.
    command = import_module(f"hpedit.commands.{name.replace('-', '_')}").COMMAND
    auto_cli(command, args=words[1:], as_positional=True, prog=f"python -m hpedit {name}")


if __name__ == "__main__":
    try:
        main()
    except Exception as error:
        if TRACEBACK in os.environ or not is_message(error):
            raise
        sys.exit(f"error: {error}")
