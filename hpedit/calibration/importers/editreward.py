"""Ratings from EditReward-Data: rows of two edits of one source, each rated by its annotators together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hpedit.calibration.importers.attach import rescaled
from hpedit.calibration.quarantine import Quarantine
from hpedit.cases import Candidate, Case, HumanRating, Provenance
from hpedit.pictures import Picture
from hpedit.rows import Rows, open_rows

# Our dimension, its column after the side, and the range of its numbers.
_DIMENSIONS = (
    ("overall", "overall_score", 2, 8),
    ("instruction_following", "instruction_following_score", 1, 4),
    ("visual_quality", "quality_aesthetic_score", 1, 4),
)
RATER = "editreward"


@dataclass
class _Group:
    """What the rows of one (source, instruction) say; an edit that comes in several pairs is one candidate."""

    key: str
    source: Picture
    task: str
    edits: dict[bytes, Candidate] = field(default_factory=dict)
    ratings: dict[HumanRating, None] = field(default_factory=dict)


def editreward_cases(path: str, bad: Quarantine, task: str | None = None) -> Iterator[Case]:
    """Yield cases with EditReward's ratings: overall 2-8 and its two parts 1-4, brought to 0-5.

    Args:
        path: Parquet of the data set (a file, a glob, a folder), or its name on the hub.
        bad: takes rows that cannot be used.
        task: of rows that have no "task" of their own, which the published ones have not.

    Pictures stay where they are until they are written; what is held of 170,000 rows are their names and numbers.
    """
    groups: dict[tuple[bytes, str], _Group] = {}
    rows = open_rows(path, f"file={path}")
    for index in range(len(rows)):
        try:
            _add(rows, index, groups, task)
        except ValueError as error:
            bad.add(f"record {index}", str(error))
    for (source, instruction), group in groups.items():
        yield _case(source, instruction, group)


def _add(rows: Rows, index: int, groups: dict[tuple[bytes, str], _Group], task: str | None) -> None:
    row = rows[index]
    instruction, own = row.get("instruction"), row.get("task") or task
    if not isinstance(instruction, str) or not instruction.strip():
        raise ValueError(f"instruction: expected a text, got {instruction!r}")
    if not own:
        raise ValueError("no task: name one for all rows (--task)")
    source = Picture.of(row.get("source_img"), rows.root)
    sides = [_side(row, side, rows) for side in ("left", "right")]
    group = groups.setdefault(
        (source.fingerprint(), instruction), _Group(str(row.get("key") or ""), source, str(own))
    )
    for picture, model, values in sides:
        name = f"k{len(group.edits)}"
        edit = group.edits.setdefault(picture.fingerprint(), Candidate(name, picture, model))
        for dim, value in values.items():
            # An edit of several pairs brings its rating each time; a different value is a repeat, to be averaged.
            group.ratings[HumanRating(edit.cand_id, RATER, dim, value)] = None


def _side(row: Mapping[str, Any], side: str, rows: Rows) -> tuple[Picture, str, dict[str, float]]:
    picture = Picture.of(row.get(f"{side}_output_image"), rows.root)
    values = {}
    for dim, column, lowest, highest in _DIMENSIONS:
        name = f"{side}_{column}"
        if row.get(name) is not None:
            try:
                values[dim] = rescaled(row[name], lowest, highest)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
    if not values:
        raise ValueError(f"{side}: no score of any dimension")
    return picture, str(row.get(f"{side}_model") or ""), values


def _case(source: bytes, instruction: str, group: _Group) -> Case:
    name = hashlib.blake2b(source + instruction.encode(), digest_size=8).hexdigest()
    return Case(
        case_id=f"editreward-{name}",
        task=group.task,
        instruction=instruction,
        source=group.source,
        provenance=Provenance("EditReward-Data", group.key, "CC-BY-NC-4.0"),
        candidates=tuple(group.edits.values()),
        humans=tuple(group.ratings),
    )
