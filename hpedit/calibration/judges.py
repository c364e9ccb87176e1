"""Where a judge's scores of rated edits come from: the records, or a scorer asked now."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from torch import Tensor

from hpedit.calibration.ratings import BEST, Edit
from hpedit.cases import ScoreRecord
from hpedit.pictures import Picture
from hpedit.scorers.base import Score, Scorer, ScoreRequest
from hpedit.scorers.pool import ask as ask_scorer
from hpedit.scoring.edits import reader

MAX_PIXELS = 1_048_576


@dataclass(frozen=True, order=True)
class Judge:
    """Whose stored scores are meant; scores of different ones do not compare.

    Attributes:
        prompt_versions: those that belong together, since no task was scored by two of them.
    """

    scorer: str
    prompt_versions: tuple[str, ...]
    read: str

    def __str__(self) -> str:
        versions = " and ".join(version for version in self.prompt_versions if version)
        return ", ".join(part for part in (self.scorer, versions and f"prompt {versions}", self.read) if part)


def stored_judges(edits: Sequence[Edit]) -> list[Judge]:
    """Return who has scored any of the edits, in alphabetical order.

    Prompts are versioned task by task, so the versions of one scorer are one judge as long as no task has two.
    """
    versions: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for edit in edits:
        for record in _records(edit):
            versions[record.scorer, record.read][edit.task].add(record.prompt_version)
    found = []
    for (scorer, read), by_task in versions.items():
        every = sorted(set().union(*by_task.values()))
        apart = any(len(of_task) > 1 for of_task in by_task.values())
        found += [Judge(scorer, v, read) for v in ([(e,) for e in every] if apart else [tuple(every)])]
    return sorted(found)


def stored_scores(edits: Sequence[Edit], judge: Judge) -> list[Score]:
    """Return the judge's newest score of each edit; missing where it gave none."""
    return [_newest([r for r in _records(edit) if _is_of(r, judge)]) for edit in edits]


def ask(
    edits: Sequence[Edit],
    scorer: Scorer,
    batch_size: int = 8,
    max_in_flight: int = 4,
    max_pixels: int = MAX_PIXELS,
) -> Iterator[Score]:
    """Score the edits now, yielding in their order; pictures of a few batches are in memory at once.

    Pictures of more than ``max_pixels`` are made smaller exactly as by ``python -m hpedit score``.
    An edit whose pictures cannot be read, and one that the scorer fails on, is missing, with the reason.
    """
    batches = [edits[i : i + batch_size] for i in range(0, len(edits), batch_size)]
    with ThreadPoolExecutor(max_in_flight, thread_name_prefix="judge") as threads:
        for scores in threads.map(lambda batch: _ask(batch, scorer, max_pixels), batches):
            yield from scores


def request_of(edit: Edit, read: Callable[[Picture], Tensor]) -> ScoreRequest:
    """Return what a scorer is asked about an edit. ``read`` raises BadPicture where a picture cannot be read."""
    case = edit.case
    return ScoreRequest(
        case_id=case.case_id,
        task=edit.task,
        instruction=case.instruction,
        requirement=case.requirement or "",
        sources=tuple(read(picture) for picture in (case.source, *case.references)),
        edit=read(edit.candidate.image),
        target=None if case.target is None else read(case.target),
    )


def _ask(batch: Sequence[Edit], scorer: Scorer, max_pixels: int) -> list[Score]:
    read = reader(max_pixels)
    answers: list[Score | None] = []
    requests = []
    for edit in batch:
        try:
            requests.append(request_of(edit, read))
            answers.append(None)
        except ValueError as error:
            answers.append(Score.missing(str(error)))
    given = iter(ask_scorer(scorer, requests) if requests else [])
    return [next(given) if answer is None else answer for answer in answers]


def _records(edit: Edit) -> list[ScoreRecord]:
    return [record for record in edit.case.scores if record.cand_id == edit.candidate.cand_id]


def _is_of(record: ScoreRecord, judge: Judge) -> bool:
    mine = (judge.scorer, judge.read)
    return (record.scorer, record.read) == mine and record.prompt_version in judge.prompt_versions


def _newest(records: list[ScoreRecord]) -> Score:
    if not records:
        return Score.missing("not scored")
    # Of equal or no times, the one written last.
    record = max(enumerate(records), key=lambda pair: (pair[1].ts or 0.0, pair[0]))[1]
    if record.value is None or not math.isfinite(record.value):
        return Score.missing("scored without success")
    if not 0.0 <= record.value <= BEST:
        return Score.missing(f"a stored score that is not in [0, 5]: {record.value:g}")
    return Score(record.value, record.dist or None, record.mass)
