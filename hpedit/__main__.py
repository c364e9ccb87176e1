"""``python -m hpedit COMMAND``: what is not a run of train.py. Each command is a module of hpedit.commands."""

from __future__ import annotations

import sys
from importlib import import_module

from jsonargparse import auto_cli

from hpedit.terminal import tell

# A command's module has one function, or a list of subcommands, called COMMAND; its signature is the command line. Its
# docstring, or of subcommands the module's, is what --help begins with.
COMMANDS = {
    "build": "from folders of photographs to a data set of hard cases; killed, it goes on",
    "inspect": "what a data set holds and what is wrong with it, with a sheet of its pictures",
    "score": "score edits with HP-Scorer, into Parquet and CSV",
    "serve-scorer": "print, or run, the vLLM command that serves a judge",
    "calibrate": "how well a scorer agrees with people, and prompts that agree better",
    "rate": "a page on which people rate edits",
}


def overview() -> str:
    """Return what ``python -m hpedit --help`` prints."""
    lines = [f"  {name:<14}{purpose}" for name, purpose in COMMANDS.items()]
    usage = "usage: python -m hpedit COMMAND [--help] ..."
    return "\n".join([usage, "", "Training and evaluation are train.py's; the rest is here:", "", *lines])


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
    from hpedit.command_help import CommandHelp, CommandParser
    from hpedit.runs import find_configs

    module = import_module(f"hpedit.commands.{name.replace('-', '_')}")
    given, _ = find_configs(words[1:])
    auto_cli(
        module.COMMAND,
        args=given,
        as_positional=True,
        prog=f"python -m hpedit {name}",
        description=module.__doc__,
        parser_class=CommandParser,
        formatter_class=CommandHelp,
    )


if __name__ == "__main__":
    tell(main)
