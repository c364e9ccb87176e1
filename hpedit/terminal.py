"""What a user sees in the terminal: a help that can be read, no foreign advice, and one line for a mistake."""

from __future__ import annotations

import argparse
import logging
import os
import re
import shutil
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, DefaultHelpFormatter
from lightning.pytorch.utilities.exceptions import MisconfigurationException

_ROOT = Path(__file__).resolve().parent.parent
_OWN_CODE = tuple(_ROOT / name for name in ("hpedit", "callbacks", "datamodules", "train.py"))
TRACEBACK = "HPEDIT_TRACEBACK"

# Trainer flags that the help shows; all others work as well.
_SHOWN = {
    *("accelerator", "devices", "num_nodes", "strategy", "precision", "max_epochs", "max_steps", "max_time"),
    *(
        "callbacks",
        "check_val_every_n_epoch",
        "limit_val_batches",
        "num_sanity_val_steps",
        "log_every_n_steps",
    ),
    *("gradient_clip_val", "fast_dev_run", "profiler"),
}
_HELP = {
    "model": "What is trained, by class path: hpedit.modules.grpo.FlowGRPOModule, hpedit.modules.dpo.DPOModule, "
    "hpedit.modules.sft.SFTModule. --model.help CLASS_PATH lists its settings, each of which is a flag such as "
    "--model.rollout.group_size 8.",
    "data": "Where cases come from: datamodules.real_pref.RealPrefDataModule and others; --data.help CLASS_PATH.",
    "ckpt_path": "Checkpoint to go on from; last is the newest complete one of this kind of run, in whose folder the "
    "run goes on.",
    "weights_only": "Refuse a checkpoint that holds anything but tensors and plain values, which could run code.",
}
_TITLES = {
    "model": "What is trained",
    "data": "On what",
    "trainer": "How: the most used flags of Lightning's Trainer, all of which work",
}


class ShortHelp(DefaultHelpFormatter):
    """Help of the flags that a run is usually told, without lists of every class that could be given."""

    def __init__(self, prog: str) -> None:
        # What is no terminal, such as a pipe, is taken for a wide one.
        width = min(118, shutil.get_terminal_size((120, 24)).columns - 2)
        super().__init__(prog, max_help_position=max(24, min(34, width // 3)), width=width)

    def add_argument(self, action: argparse.Action) -> None:
        # jsonargparse takes argparse.SUPPRESS to mean that a setting is left out of the saved config too.
        group, _, name = action.dest.partition(".")
        if group != "trainer" or not name or name in _SHOWN:
            super().add_argument(action)

    def _get_help_string(self, action: argparse.Action) -> str:
        return re.sub(r", known subclasses: [^)]*", "", super()._get_help_string(action))


def shorten_help(parser: ArgumentParser) -> None:
    """Let a subcommand's ``--help`` say what a run is usually told; --print_config shows the rest. In place."""
    for action in parser._actions:
        if action.dest.startswith("trainer.") and action.help:
            action.help = action.help.split(". ")[0]
        action.help = _HELP.get(action.dest, action.help)
    parser.formatter_class = ShortHelp
    groups: dict[str, Any] = parser.groups or {}
    for key, title in _TITLES.items():
        groups[key].title = title
    parser._action_groups = sorted(parser._action_groups, key=lambda group: group is groups["trainer"])


def silence() -> None:
    """Hide what other libraries say at every start and what is meant that way here."""
    # Imported late: they take seconds, in which a wrong flag is long told.
    import diffusers.utils.logging
    import transformers.utils.logging

    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_is_no_advice)
    # The policy stays in evaluation mode on purpose (hpedit/modules/policy.py).
    warnings.filterwarnings("ignore", message=r"Found \d+ module\(s\) in eval mode")
    # Lightning 2.6 with torch 2.15.
    warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\)")
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()


def _is_no_advice(record: logging.LogRecord) -> bool:
    text = record.getMessage()
    return "litlogger" not in text and "litmodels" not in text


def is_message(error: Exception) -> bool:
    """Say whether an error was raised to tell the user something, rather than by a fault of the program.

    So is a ValueError, ConnectionError or RuntimeError of a ``raise`` statement of this project, and Lightning's
    complaint about its configuration.
    """
    if isinstance(error, MisconfigurationException):
        return True
    last = traceback.extract_tb(error.__traceback__)[-1]
    own = any(Path(last.filename).is_relative_to(place) for place in _OWN_CODE)
    raised = (last.line or "").startswith("raise ")
    return own and raised and isinstance(error, ValueError | ConnectionError | RuntimeError)


def message_of(error: Exception) -> Exception | None:
    """Return the error whose words are for the user, None where there is none.

    It is ``error``, or what jsonargparse has wrapped: of a union whose types all failed it tells each failure.
    """
    if is_message(error):
        return error
    place = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    cause = error.__cause__
    return message_of(cause) if "jsonargparse" in place.parts and isinstance(cause, Exception) else None


def tell(main: Callable[[], object]) -> None:
    """Run a command line; a user's mistake ends it in one line, a fault of the program with its traceback.

    The environment variable HPEDIT_TRACEBACK shows the traceback of either.
    """
    try:
        main()
    except Exception as error:
        message = message_of(error)
        if TRACEBACK in os.environ or message is None:
            raise
        sys.exit(f"error: {message}")
