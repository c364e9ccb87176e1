"""What the columns of a public edit data set mean, as a YAML file: a data set is added without code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from hpedit.build.photo import Rating
from hpedit.tasks import TASKS, canonical_task

_PACKAGE = Path(__file__).resolve().parents[1]
# As in hpedit.runs, which would bring Lightning into every worker.
FIELDS = (
    next(p for p in (_PACKAGE / "configs", _PACKAGE.parent / "configs") if p.is_dir()) / "build" / "fields"
)


@dataclass(frozen=True)
class Scale:
    """A column of scores of the target, and the scale it is on; HP-Score's is 0 to 5."""

    column: str
    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"scores: expected low < high, got {self.low} and {self.high}")

    def rating(self, scorer: str, value: float) -> Rating:
        share = (value - self.low) / (self.high - self.low)
        return Rating(scorer, 5.0 * min(max(share, 0.0), 1.0))


@dataclass(frozen=True)
class FieldMap:
    """Where a data set keeps what. A column path such as "conversation.image" goes into records; a list there stands
    for its first entry.

    Attributes:
        dataset: the name that goes into provenance and ids.
        license: of the data set.
        source: column of the picture to edit: embedded, or a path.
        instruction, target, row: columns of the instruction, the edited picture and the row's own id; null for none.
        task: column of the task's name, null for none. A row whose task is neither listed in ``tasks`` nor known is
            quarantined, and so counted.
        tasks: the data set's name of a task -> one of hpedit.tasks, or null for an edit that is none of them, whose
            picture is then taken as a mere photograph. Names that hpedit.tasks knows need not be listed.
        every_task: the task of all rows, where there is no column.
        language: of the instructions.
        scores: name of the scorer -> the column and scale of its scores.
    """

    dataset: str
    source: str
    license: str = ""
    instruction: str | None = None
    target: str | None = None
    row: str | None = None
    task: str | None = None
    tasks: Mapping[str, str | None] = field(default_factory=dict)
    every_task: str | None = None
    language: str = "en"
    scores: Mapping[str, Scale] = field(default_factory=dict)

    def __post_init__(self) -> None:
        wanted = [t for t in (*self.tasks.values(), self.every_task) if t is not None]
        if unknown := [t for t in wanted if t not in TASKS]:
            raise ValueError(f"tasks: wanted names of {', '.join(TASKS)}, or null, got {unknown[0]!r}")
        if self.task is not None and self.every_task is not None:
            raise ValueError("expected task or every_task, got both")

    def task_of(self, row: Mapping[str, Any]) -> tuple[str | None, bool]:
        """Return a row's task (None where the data set does not say) and whether its edit is one of the eight.

        Raises ValueError on a task that nobody has named: silence would lose all its edits.
        """
        name = None if self.task is None else cell(row, self.task)
        if name is None:
            return self.every_task, True
        if str(name) in self.tasks:
            return self.tasks[str(name)], self.tasks[str(name)] is not None
        try:
            return canonical_task(str(name)), True
        except ValueError as error:
            raise ValueError(
                f"unknown task {name!r} in {self.dataset}: name it under `tasks` of the field map, "
                "null for a mere photograph"
            ) from error

    def ratings(self, row: Mapping[str, Any]) -> tuple[Rating, ...]:
        """Return the scores of a row's target on the scale of HP-Score; those that are missing are left out."""
        found = {scorer: (scale, cell(row, scale.column)) for scorer, scale in self.scores.items()}
        return tuple(s.rating(name, float(value)) for name, (s, value) in found.items() if value is not None)


def cell(row: Mapping[str, Any], path: str) -> Any:
    """Return what a row holds at a column path; of a list, the first entry. None where there is nothing."""
    value: Any = row
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
        if isinstance(value, (list, tuple)):
            value = value[0] if value else None
    return value


def load_field_map(name: str) -> FieldMap:
    """Read a field map: a YAML file, or the bare name of one of configs/build/fields.

    Raises ValueError that names the file and what is wrong with it.
    """
    file = Path(name)
    if not file.is_file():
        file = FIELDS / (name if name.endswith((".yaml", ".yml")) else f"{name}.yaml")
    if not file.is_file():
        shipped = ", ".join(sorted(f.stem for f in FIELDS.glob("*.yaml")))
        raise ValueError(f"fields: wanted a YAML file or one of {shipped}, got {name!r}")
    try:
        record = yaml.safe_load(file.read_text(encoding="utf-8"))
        if not isinstance(record, dict):
            raise ValueError(f"it must be a mapping, got {type(record).__name__}")
        scores = {k: Scale(**v) for k, v in (record.get("scores") or {}).items()}
        return FieldMap(**{**record, "scores": scores, "tasks": record.get("tasks") or {}})
    except (yaml.YAMLError, AttributeError, TypeError, ValueError) as error:
        known = ", ".join(f.name for f in fields(FieldMap))
        raise ValueError(f"fields: {file}: {error} (a field map has {known})") from error
