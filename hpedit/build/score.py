"""Stage 6: a scorer says of every candidate how well it follows the instruction, from 0 to 5."""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import ClassVar

from torch import Tensor

from hpedit.build.kinds import CASES, Kind
from hpedit.build.stage import Failure, Outcome, Work, Workers
from hpedit.cases import Case
from hpedit.framing import fit
from hpedit.images import from_pil, to_uint8
from hpedit.pictures import BadPicture
from hpedit.scorers.base import Score as Answer
from hpedit.scorers.base import Scorer, ScoreRequest
from hpedit.scorers.pool import WeightedScorer, ask
from hpedit.scoring.judges import label_of, name_of

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Score:
    """Scores the candidates of every case. What could not be had is missing, and a case without any score fails.

    A source is cut to the shape of the edit before it is shown: the judge sees what the editor saw, as in training.

    Attributes:
        scorer: HP-Scorer or another, not yet opened. Its backend asks again after a failed request.
        patience: seconds to wait, with growing pauses, for a scorer that answers nothing any more. Then the cases
            go to quarantine, and it is not waited for again until it has answered.
        chunk_rows: cases in a chunk: what a killed build pays for again.
        workers: who asks; the edits of ``batch_size`` cases are asked about at once.
    """

    scorer: Scorer
    patience: float = 600.0
    chunk_rows: int = 64
    workers: Workers = Workers(batch_size=32)
    name: ClassVar[str] = "score"
    version: ClassVar[int] = 1
    reads: ClassVar[Kind[Case]] = CASES
    writes: ClassVar[Kind[Case]] = CASES

    def __post_init__(self) -> None:
        if not 0.0 <= self.patience < math.inf:
            raise ValueError(f"score.patience: expected seconds >= 0, got {self.patience}")

    def check(self) -> None:
        """The workers check, with scorers of their own: one that was used cannot travel to them."""

    def open(self) -> Work[Case, Case]:
        scorer = copy.deepcopy(self.scorer)
        scorer.check()
        return Scoring(WeightedScorer(name_of(scorer), scorer), Outage(self.patience))


@dataclass
class Outage:
    """Waiting for a scorer that answers nothing: at most ``patience`` seconds, until it has answered again.

    Attributes:
        waited: seconds since it last answered.
    """

    patience: float
    pause: Callable[[float], None] = time.sleep
    waited: float = 0.0

    def over(self, scorer: Scorer) -> bool:
        """Wait until the scorer answers, and return True; return False where it was not away, or patience has ended.

        Pauses grow from 1 to 60 seconds.
        """
        while True:
            try:
                scorer.check()
            except ConnectionError as error:
                length = min(max(1.0, self.waited), 60.0, self.patience - self.waited)
                if length <= 0.0:
                    return False
                _log.warning(
                    "%s: waiting %.0f s, %.0f of %.0f are over", error, length, self.waited, self.patience
                )
                self.pause(length)
                self.waited += length
            else:
                was_away, self.waited = self.waited > 0.0, 0.0
                return was_away


@dataclass(frozen=True)
class Scoring:
    """The work of the stage, with an open scorer."""

    member: WeightedScorer
    outage: Outage

    def __call__(self, cases: Sequence[Case]) -> list[Outcome[Case]]:
        made = [requests_of(case) for case in cases]
        answers = iter(self._ask([r for one in made if not isinstance(one, Failure) for r in one]))
        return [
            one if isinstance(one, Failure) else self._outcome(case, [next(answers) for _ in one])
            for case, one in zip(cases, made, strict=True)
        ]

    def _ask(self, requests: Sequence[ScoreRequest]) -> list[Answer]:
        scores = ask(self.member.scorer, requests)
        while failed := [i for i, score in enumerate(scores) if score.failure]:
            if not self.outage.over(self.member.scorer):
                break
            for i, score in zip(failed, ask(self.member.scorer, [requests[i] for i in failed]), strict=True):
                scores[i] = score
        return scores

    def _outcome(self, case: Case, answers: Sequence[Answer]) -> Outcome[Case]:
        if all(answer.failure for answer in answers):
            return Failure(f"no score: {answers[0].failure}")
        label, now = label_of(self.member, case.task), time.time()
        new = [label.record(c.cand_id, a, now) for c, a in zip(case.candidates, answers, strict=True)]
        return [replace(case, scores=(*case.scores, *new))]


def requests_of(case: Case) -> list[ScoreRequest] | Failure:
    """Return a request for each candidate, with the source cut to the candidate's shape; or why there is none."""
    if not case.candidates:
        return Failure("no candidate to score")
    try:
        return _requests(case)
    except BadPicture as error:
        return Failure(str(error))


def _requests(case: Case) -> list[ScoreRequest]:
    source, target = case.source.decode(), case.target and case.target.decode()
    references = tuple(from_pil(reference.decode()) for reference in case.references)

    @cache  # siblings share one tensor, so that a backend encodes it once
    def cut(size: tuple[int, int]) -> tuple[tuple[Tensor, ...], Tensor | None]:
        fitted = None if target is None else to_uint8(fit(target, size))
        return (to_uint8(fit(source, size)), *references), fitted

    requests = []
    for candidate in case.candidates:
        edit = from_pil(candidate.image.decode())
        sources, fitted = cut((edit.shape[1], edit.shape[2]))
        facts = (case.case_id, case.task, case.instruction, case.requirement or "")
        requests.append(ScoreRequest(*facts, sources, edit, fitted))
    return requests
