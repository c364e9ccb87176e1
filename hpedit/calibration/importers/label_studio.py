"""Ratings from Label Studio's JSON export."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from hpedit.calibration.importers.attach import Loose
from hpedit.calibration.quarantine import Quarantine

# The result types that state a score, and the field of "value" that does.
_FIELDS = {"rating": "rating", "choices": "choices", "number": "number"}


def ratings_in_label_studio(
    path: str | Path, bad: Quarantine, control: str | None = None, dim: str = "overall"
) -> Iterator[Loose]:
    """Yield the ratings of an export.

    Tasks carry case_id, and cand_id where cases have several edits, in their data. Controls are Rating (stars: it has
    no 0, so a page with Choices or Number is wanted for the full scale), Number, or Choices named 0 to 5.

    Args:
        path: the JSON file: a list of tasks with annotations.
        bad: takes tasks and results that state no score. Skipped (cancelled) annotations are left out quietly.
        control: take this control (from_name) only, as ``dim``; by default every control is the dimension of its
            name, and those named rating, score, choice or number are ``dim``.
        dim: the dimension.

    Raises ValueError where the file is no such list.
    """
    for position, task in enumerate(_tasks(path)):
        record = f"task {task.get('id', position)}"
        case_id = (task.get("data") or {}).get("case_id")
        if case_id in (None, ""):
            bad.add(record, "a task whose data have no case_id")
            continue
        for annotation in task.get("annotations") or ():
            if not annotation.get("was_cancelled"):
                yield from _scores(annotation, task["data"], record, bad, control, dim)


def _tasks(path: str | Path) -> list[dict[str, Any]]:
    try:
        tasks = json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: expected Label Studio's JSON export: {error}") from error
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise ValueError(f"{path}: expected Label Studio's JSON export, a list of tasks")
    return tasks


def _scores(
    annotation: Mapping[str, Any],
    data: Mapping[str, Any],
    record: str,
    bad: Quarantine,
    control: str | None,
    dim: str,
) -> Iterator[Loose]:
    name = f"{record}, annotation {annotation.get('id', '?')}"
    found = 0
    for result in annotation.get("result") or ():
        title = str(result.get("from_name", ""))
        if result.get("type") not in _FIELDS or (control is not None and title != control):
            continue
        found += 1
        yield Loose(
            record=name,
            case_id=str(data["case_id"]),
            cand_id=str(data.get("cand_id") or ""),
            rater=_rater(annotation.get("completed_by")),
            dim=dim if control is not None or title in ("rating", "score", "choice", "number", "") else title,
            value=_value(result),
            ts=_seconds(annotation.get("created_at")),
            ms=_milliseconds(annotation.get("lead_time")),
        )
    if not found:
        bad.add(name, "an annotation without a rating")


def _value(result: Mapping[str, Any]) -> Any:
    value = (result.get("value") or {}).get(_FIELDS[result["type"]])
    # Choices are lists, of one name where only one can be chosen.
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _rater(who: Any) -> str:
    """Return the e-mail or number of an annotator, whom exports name either way."""
    if isinstance(who, dict):
        who = who.get("email") or who.get("id")
    return "" if who is None else str(who)


def _seconds(stamp: Any) -> float | None:
    try:
        return datetime.fromisoformat(stamp).timestamp()
    except (TypeError, ValueError):
        return None


def _milliseconds(seconds: Any) -> int | None:
    return round(1000 * seconds) if isinstance(seconds, int | float) else None
