"""Where a judge's scores of rated edits come from: the records, or a scorer asked now."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from hpedit.calibration.ratings import BEST, RatedEdit
from hpedit.cases import Picture, ScoreRecord
from hpedit.images import from_pil
from hpedit.scorers.base import Score, Scorer, ScoreRequest


@dataclass(frozen=True, order=True)
class Judge:
    """Whose stored scores are meant; scores of different ones do not compare."""

    scorer: str
    prompt_version: str
    read: str

    def __str__(self) -> str:
        return ", ".join(part for part in (self.scorer, self.prompt_version, self.read) if part)


def stored_judges(edits: Sequence[RatedEdit]) -> list[Judge]:
    """Return who has scored any of the edits, in alphabetical order."""
    return sorted({_judge(record) for edit in edits for record in _records(edit)})


def stored_scores(edits: Sequence[RatedEdit], judge: Judge) -> list[Score]:
    """Return the judge's newest score of each edit; missing where it gave none."""
    return [_newest([r for r in _records(edit) if _judge(r) == judge]) for edit in edits]


def ask(
    edits: Sequence[RatedEdit], scorer: Scorer, batch_size: int = 8, max_in_flight: int = 4
) -> Iterator[Score]:
    """Score the edits now, yielding in their order; pictures of a few batches are in memory at once.

    An edit whose pictures cannot be read is missing, not an error. What the scorer raises is raised.
    """
    batches = [edits[i : i + batch_size] for i in range(0, len(edits), batch_size)]
    with ThreadPoolExecutor(max_in_flight, thread_name_prefix="judge") as threads:
        for scores in threads.map(lambda batch: _ask(batch, scorer), batches):
            yield from scores


def request_of(edit: RatedEdit) -> ScoreRequest:
    """Return what a scorer is asked about an edit. Raises BadPicture where a picture cannot be read."""
    case = edit.case
    return ScoreRequest(
        case_id=case.case_id,
        task=edit.task,
        instruction=case.instruction,
        requirement=case.requirement or "",
        sources=tuple(_pixels(picture) for picture in (case.source, *case.references)),
        edit=_pixels(edit.candidate.image),
        target=None if case.target is None else _pixels(case.target),
    )


def _ask(batch: Sequence[RatedEdit], scorer: Scorer) -> list[Score]:
    answers: list[Score | None] = []
    requests = []
    for edit in batch:
        try:
            requests.append(request_of(edit))
            answers.append(None)
        except ValueError as error:
            answers.append(Score.missing(str(error)))
    given = iter(scorer.score(requests) if requests else [])
    return [next(given) if answer is None else answer for answer in answers]


def _records(edit: RatedEdit) -> list[ScoreRecord]:
    return [record for record in edit.case.scores if record.cand_id == edit.candidate.cand_id]


def _judge(record: ScoreRecord) -> Judge:
    return Judge(record.scorer, record.prompt_version, record.read)


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


def _pixels(picture: Picture):
    return from_pil(picture.decode())
