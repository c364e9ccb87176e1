"""What is known about a case: its pictures, instruction, candidates, scores and human ratings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from hpedit.pictures import BadPicture, Picture


@dataclass(frozen=True)
class Provenance:
    """Where a source picture comes from."""

    dataset: str = ""
    row: str = ""
    license: str = ""


@dataclass(frozen=True)
class Candidate:
    """One edit of a case: by which model, from which seed; ``params`` is a JSON object of its settings."""

    cand_id: str
    image: Picture
    model: str = ""
    seed: int | None = None
    params: str = "{}"


@dataclass(frozen=True)
class ScoreRecord:
    """What a scorer said of a candidate.

    Attributes:
        read: how ``value`` was had from the answer: expectation, argmax or generated.
        value: HP-Score in [0, 5], None where it could not be had.
        dist: probabilities of the digits 0-5, empty where the scorer gives a bare number.
        mass: probability that the answer was a digit at all.
        ts: seconds since the epoch.
    """

    cand_id: str
    scorer: str
    prompt_version: str = ""
    read: str = "expectation"
    value: float | None = None
    dist: tuple[float, ...] = ()
    mass: float | None = None
    ts: float | None = None


@dataclass(frozen=True)
class HumanRating:
    """What a person said of a candidate in dimension ``dim``; it took ``ms`` milliseconds."""

    cand_id: str
    rater: str
    dim: str
    value: float
    ts: float | None = None
    ms: int | None = None


@dataclass(frozen=True)
class Case:
    """One (source picture, instruction) and all that is known about it.

    Attributes:
        case_id: unique in its data set; the key of the case's group.
        task: one of hpedit.tasks.TASKS, or an alias.
        requirement: an extra requirement shown to the scorer.
        source: the picture to edit.
        references: further pictures that the instruction speaks of.
        target: the edited picture, where known.
        categories: MS-COCO categories seen in the source.
        weight: how often the case is to be drawn, relative to others; 1 where nobody said.
    """

    case_id: str
    task: str
    instruction: str
    source: Picture
    instruction_lang: str = "en"
    requirement: str | None = None
    references: tuple[Picture, ...] = ()
    target: Picture | None = None
    categories: tuple[str, ...] = ()
    provenance: Provenance = Provenance()
    candidates: tuple[Candidate, ...] = ()
    scores: tuple[ScoreRecord, ...] = ()
    humans: tuple[HumanRating, ...] = ()
    weight: float = 1.0


@dataclass(frozen=True)
class Pair:
    """A case with two edits of it, one preferred over the other."""

    case: Case
    preferred: Picture
    rejected: Picture


def case_of(row: Mapping[str, Any], root: Path, default_id: str) -> Case:
    """Build a case from a row of Parquet or of metadata.jsonl; the source may be called ``file_name`` there.

    Raises ValueError that says what the row lacks; BadPicture where it names no source picture.
    """
    for name in ("task", "instruction"):
        if not isinstance(row.get(name), str) or not row[name].strip():
            raise ValueError(f"no {name}: expected a text, got {row.get(name)!r}")
    source = row.get("source") or row.get("file_name")
    if not source:
        raise BadPicture("missing image: the record names no source picture")
    target = row.get("target")
    return Case(
        case_id=str(row.get("case_id") or default_id),
        task=row["task"],
        instruction=row["instruction"],
        source=Picture.of(source, root),
        instruction_lang=row.get("instruction_lang") or "en",
        requirement=row.get("requirement"),
        references=tuple(Picture.of(r, root) for r in row.get("references") or ()),
        target=Picture.of(target, root) if target else None,
        categories=tuple(row.get("categories") or ()),
        provenance=_build(Provenance, row.get("provenance") or {}),
        candidates=tuple(_candidate(c, root) for c in row.get("candidates") or ()),
        scores=tuple(
            _build(ScoreRecord, {**s, "dist": tuple(s.get("dist") or ())}) for s in row.get("scores") or ()
        ),
        humans=tuple(_build(HumanRating, h) for h in row.get("humans") or ()),
        weight=_weight(row.get("weight")),
    )


def _candidate(row: Mapping[str, Any], root: Path) -> Candidate:
    return _build(Candidate, {**row, "image": Picture.of(row.get("image"), root)})


def _weight(value: Any) -> float:
    """Read a weight, which older data sets do not have and a CSV has as text."""
    weight = 1.0 if value is None else float(value)
    if not 0.0 <= weight < math.inf:
        raise ValueError(f"weight: expected a finite number >= 0, got {value}")
    return weight


def _build(kind: type, row: Mapping[str, Any]) -> Any:
    """Make a record of ``kind``, leaving a null where the record has a default to that default."""
    known = {f.name: row[f.name] for f in fields(kind) if row.get(f.name) is not None}
    try:
        return kind(**known)
    except TypeError as error:
        raise ValueError(f"{kind.__name__}: {error}; got the fields {', '.join(row)}") from error
