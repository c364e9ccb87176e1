"""The bank of checks that an engine without a language model chooses from: its YAML schema."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hpedit.scorers.prompts import default_folder
from hpedit.tasks import TASKS

GENERAL = "general"
FILE = "checks_bank.yaml"
_TEXTS = ("version", "provenance")


@dataclass(frozen=True)
class CheckBank:
    """Checks on offer to the prompts, each a question whose good answer is yes.

    Attributes:
        version: changes whenever a check does.
        provenance: where the checks come from.
        general: on offer to every task.
        by_task: a task's own.
    """

    version: str
    provenance: str
    general: tuple[str, ...]
    by_task: dict[str, tuple[str, ...]]

    def checks(self, task: str) -> tuple[str, ...]:
        """Return what is on offer to ``task``: its own checks, then the general ones."""
        return (*self.by_task.get(task, ()), *self.general)


def load_bank(file: str | Path | None = None) -> CheckBank:
    """Read a bank of checks; the project's own by default.

    Raises ValueError that names the file and the field at fault.
    """
    path = Path(file) if file is not None else default_folder() / FILE
    try:
        record = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"bank: cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"bank: {path} is not YAML: {error}") from error
    if not isinstance(record, dict):
        raise ValueError(f"bank: {path}: expected a mapping of fields, got {type(record).__name__}")
    _expect_fields(record, path)
    lists = {name: _questions(record[name], name, path) for name in (GENERAL, *TASKS) if name in record}
    bank = CheckBank(
        version=record["version"].strip(),
        provenance=record["provenance"].strip(),
        general=lists.pop(GENERAL, ()),
        by_task=lists,
    )
    _expect_distinct(bank, path)
    return bank


def _expect_fields(record: dict[Any, Any], path: Path) -> None:
    if unknown := set(record) - {*_TEXTS, GENERAL, *TASKS}:
        raise ValueError(
            f"bank: {path}: unknown field {', '.join(sorted(map(str, unknown)))}; "
            f"expected {', '.join(_TEXTS)}, {GENERAL} and tasks"
        )
    for name in _TEXTS:
        if not isinstance(record.get(name), str) or not record[name].strip():
            raise ValueError(f"bank: {path}: {name}: expected text, got {record.get(name)!r}")


def _questions(value: Any, name: str, path: Path) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError(f"bank: {path}: {name}: expected a list of questions, got {value!r}")
    for line in value:
        if not isinstance(line, str) or not line.strip().endswith("?"):
            raise ValueError(f"bank: {path}: {name}: expected a question that ends in '?', got {line!r}")
    return tuple(line.strip() for line in value)


def _expect_distinct(bank: CheckBank, path: Path) -> None:
    for task in TASKS:
        checks = bank.checks(task)
        if twice := {check for check in checks if checks.count(check) > 1}:
            raise ValueError(f"bank: {path}: {task}: the check {min(twice)!r} is on offer twice")
