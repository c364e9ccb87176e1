"""Mean opinion scores from EditHF's JSON lines: one (source, target, dimension, 0-100) a line."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpedit.calibration.importers.attach import rescaled
from hpedit.calibration.quarantine import Quarantine
from hpedit.cases import Candidate, Case, HumanRating, Provenance
from hpedit.pictures import Picture
from hpedit.rows import open_rows

# Greedy: an instruction may hold brackets of its own.
_INSTRUCTION = re.compile(r"editing prompt \[(.*)\], the source", re.DOTALL)
_SCORE = re.compile(r"quality score is\s*(-?\d+(?:\.\d+)?)", re.IGNORECASE)
# What the question calls a dimension, and what it is called here.
DIMENSIONS = {
    "visual quality": "visual_quality",
    "editing instruction alignment": "instruction_alignment",
    "attribute preservation": "attribute_preservation",
}
RATER = "mos"


@dataclass(frozen=True)
class _Row:
    source: str
    target: str
    instruction: str
    task: str
    dim: str
    value: float


def edithf_cases(paths: Sequence[str], bad: Quarantine, task: str | None = None) -> Iterator[Case]:
    """Yield cases with EditHF's opinion scores, 0-100 brought to 0-5, of the rater "mos".

    Args:
        paths: the files, usually one a dimension; pictures are found relative to each.
        bad: takes lines that cannot be used.
        task: of lines that have no "task" of their own, which the published ones have not.

    A case is one (source, instruction), a candidate one target; both are named by a checksum of those.
    """
    found: dict[tuple[str, str], dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    tasks: dict[tuple[str, str], str] = {}
    for row in _rows(paths, bad, task):
        key = (row.source, row.instruction)
        tasks.setdefault(key, row.task)
        found[key][row.target][row.dim] = row.value
    for (source, instruction), targets in found.items():
        names = {target: _name(target) for target in targets}
        yield Case(
            case_id=f"edithf-{_name(source + chr(0) + instruction)}",
            task=tasks[source, instruction],
            instruction=instruction,
            source=Picture(Path(source)),
            provenance=Provenance(dataset="EditHF", row=Path(source).name),
            candidates=tuple(Candidate(name, Picture(Path(target))) for target, name in names.items()),
            humans=tuple(
                HumanRating(names[target], RATER, dim, value)
                for target, by_dim in targets.items()
                for dim, value in by_dim.items()
            ),
        )


def _rows(paths: Sequence[str], bad: Quarantine, task: str | None) -> Iterator[_Row]:
    for path in paths:
        rows = open_rows(path, f"file={path}")
        for index in range(len(rows)):
            try:
                yield _row(rows[index], rows.root, task)
            except ValueError as error:
                bad.add(f"{Path(path).name}, record {index}", str(error))


def _row(row: Mapping[str, Any], root: Path, task: str | None) -> _Row:
    images, query = row.get("images"), str(row.get("query") or "")
    if not isinstance(images, list) or len(images) != 2 or not all(isinstance(i, str) for i in images):
        raise ValueError("images: expected the paths of source and target")
    instruction, score = _INSTRUCTION.search(query), _SCORE.search(str(row.get("response") or ""))
    dims = [dim for words, dim in DIMENSIONS.items() if f"from {words} aspect" in query]
    if instruction is None:
        raise ValueError("query: expected an instruction in brackets after 'editing prompt'")
    if len(dims) != 1:
        raise ValueError(f"query: expected one of the aspects {', '.join(DIMENSIONS)}")
    if score is None:
        raise ValueError("response: expected 'The quality score is ...'")
    if not (own := row.get("task") or task):
        raise ValueError("no task: name one for all lines (--task)")
    try:
        value = rescaled(score.group(1), 0, 100)
    except ValueError as error:
        raise ValueError(f"response: {error}") from error
    source, target = (str(root / path) for path in images)
    return _Row(source, target, instruction.group(1), str(own), dims[0], value)


def _name(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
