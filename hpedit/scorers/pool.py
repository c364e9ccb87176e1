"""Scoring in the background: batches of edits to several scorers at once; a failure costs its own scores only."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch

from hpedit.images import to_uint8
from hpedit.scorers.base import Score, Scorer, ScoreRequest
from hpedit.scorers.unchanged import is_unchanged
from hpedit.types import EditedBatch


@dataclass
class WeightedScorer:
    """One scorer among several.

    Attributes:
        name: under which its figures are logged.
        scorer: the scorer.
        weight: its share in the score; 0 for a referee that is logged and nothing else.
    """

    name: str
    scorer: Scorer
    weight: float = 1.0


@dataclass
class Call:
    """One call of one scorer: the rows it covers, what came back, and how long it queued and ran, in seconds."""

    rows: list[int]
    scores: list[Score]
    queued: float
    took: float


@dataclass
class Ticket:
    """A batch of edits handed in, to be exchanged for its scores.

    Attributes:
        case_id, task: of each of the n edits.
        blank: rows whose picture holds NaN or infinity; nobody is asked about them.
        calls: the calls under way, by scorer name.
        unchanged: how many of the edits equal their source.
    """

    case_id: list[str]
    task: list[str]
    blank: list[int]
    calls: dict[str, list[Future[Call]]]
    unchanged: Future[int]

    def __len__(self) -> int:
        return len(self.case_id)


@dataclass
class Scored:
    """Scores of n edits.

    Attributes:
        value: n combined HP-Scores, NaN where a scorer of positive weight failed.
        by_scorer: n scores of each scorer, by name.
        calls: the calls that came back, by scorer name.
        unchanged: how many of the edits equal their source.
    """

    case_id: list[str]
    task: list[str]
    value: list[float]
    by_scorer: dict[str, list[Score]]
    calls: dict[str, list[Call]]
    unchanged: int

    def failures(self) -> Counter[str]:
        """Count the reasons for which scores are missing."""
        return Counter(
            score.failure for scores in self.by_scorer.values() for score in scores if score.failure
        )


class ScoringPool:
    """Keeps up to ``max_in_flight`` scorer calls of ``batch_size`` edits under way."""

    def __init__(
        self,
        scorers: Sequence[WeightedScorer],
        batch_size: int,
        max_in_flight: int,
        unchanged_tolerance: float,
    ) -> None:
        self.scorers = list(scorers)
        self._batch_size = batch_size
        self._tolerance = unchanged_tolerance
        self._threads = ThreadPoolExecutor(max_in_flight, thread_name_prefix="scoring")

    def submit(self, edited: EditedBatch) -> Ticket:
        """Hand edits in; returns at once, with the pictures copied to the CPU as uint8."""
        requests, blank = requests_of(edited)
        rows = list(requests)
        batches = [rows[i : i + self._batch_size] for i in range(0, len(rows), self._batch_size)]
        return Ticket(
            case_id=[edited.cases.case_id[row] for row in edited.case_row],
            task=[edited.cases.task[row] for row in edited.case_row],
            blank=blank,
            calls={m.name: [self._ask(m.scorer, batch, requests) for batch in batches] for m in self.scorers},
            unchanged=self._threads.submit(_count_unchanged, list(requests.values()), self._tolerance),
        )

    def collect(self, tickets: Sequence[Ticket], timeout: float) -> Scored:
        """Wait up to ``timeout`` seconds for all tickets; what is not back by then is missing."""
        futures: list[Future[Any]] = [f for t in tickets for f in (t.unchanged, *chain(*t.calls.values()))]
        wait([f for f in futures if not f.cancelled()], timeout=timeout)
        late = f"no score within {timeout:g} s"
        by_scorer = {m.name: [s for t in tickets for s in _scores(t, m.name, late)] for m in self.scorers}
        return Scored(
            case_id=[case for t in tickets for case in t.case_id],
            task=[task for t in tickets for task in t.task],
            value=[weighted_mean(self.scorers, scores) for scores in zip(*by_scorer.values(), strict=True)],
            by_scorer=by_scorer,
            calls={
                m.name: [f.result() for t in tickets for f in t.calls[m.name] if _is_back(f)]
                for m in self.scorers
            },
            unchanged=sum(t.unchanged.result() for t in tickets if _is_back(t.unchanged)),
        )

    def close(self) -> None:
        """Let go of what is still queued; calls under way end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _ask(self, scorer: Scorer, rows: list[int], requests: dict[int, ScoreRequest]) -> Future[Call]:
        return self._threads.submit(_call, scorer, rows, [requests[row] for row in rows], time.monotonic())


def weighted_mean(members: Sequence[WeightedScorer], scores: Sequence[Score]) -> float:
    """Join one edit's scores; NaN if any scorer that counts has none, since a mean over the rest is another scale."""
    pairs = [(m.weight, s.value) for m, s in zip(members, scores, strict=True) if m.weight > 0]
    return sum(weight * value for weight, value in pairs) / sum(weight for weight, _ in pairs)


def expect_usable(members: Sequence[WeightedScorer]) -> None:
    """Raise ValueError, naming --reward.scorers, unless the names differ and the weights can be averaged."""
    names = [member.name for member in members]
    if len(set(names)) != len(names):
        raise ValueError(f"reward.scorers: expected distinct names, got {', '.join(names)}")
    if any(member.weight < 0 for member in members) or not any(member.weight > 0 for member in members):
        weights = ", ".join(f"{member.name}: {member.weight:g}" for member in members) or "no scorer"
        raise ValueError(f"reward.scorers: expected weights >= 0 and one above 0, got {weights}")


def expect_working(members: Sequence[WeightedScorer]) -> None:
    """Ask every scorer whether it works. Raises its ConnectionError or ValueError, naming --reward.scorers."""
    for member in members:
        try:
            member.scorer.check()
        except (ConnectionError, ValueError) as error:
            raise type(error)(f"--reward.scorers: {member.name} cannot score: {error}") from error


def requests_of(edited: EditedBatch) -> tuple[dict[int, ScoreRequest], list[int]]:
    """Turn edits into requests by row, and list the rows whose pictures hold NaN or infinity.

    Siblings share their source tensors, so a backend can tell that they are the same pictures.
    """
    cases = edited.cases
    sources = {
        row: tuple(to_uint8(source[row]).cpu() for source in cases.sources)
        for row in sorted(set(edited.case_row))
    }
    targets = {row: None if cases.target is None else to_uint8(cases.target[row]).cpu() for row in sources}
    finite = torch.isfinite(edited.images).flatten(1).all(dim=1).tolist()
    requests = {
        i: ScoreRequest(
            case_id=cases.case_id[row],
            task=cases.task[row],
            instruction=cases.instruction[row],
            requirement=cases.requirement[row],
            sources=sources[row],
            edit=to_uint8(edited.images[i]).cpu(),
            target=targets[row],
        )
        for i, row in enumerate(edited.case_row)
        if finite[i]
    }
    return requests, [i for i, sound in enumerate(finite) if not sound]


def ask(scorer: Scorer, requests: Sequence[ScoreRequest]) -> list[Score]:
    """Return one sound Score per request: whatever a scorer does wrong is a missing score, and costs no others."""
    try:
        scores = scorer.score(requests)
    except Exception as error:  # a scorer's defect costs its scores; how many is watched by the caller
        scores = [Score.missing(f"{type(error).__name__}: {error}")] * len(requests)
    if len(scores) != len(requests):
        words = f"the scorer gave {len(scores)} scores for {len(requests)} edits"
        scores = [Score.missing(words)] * len(requests)
    return [_sane(score) for score in scores]


def _call(scorer: Scorer, rows: list[int], requests: list[ScoreRequest], submitted: float) -> Call:
    start = time.monotonic()
    scores = ask(scorer, requests)
    return Call(rows, scores, start - submitted, time.monotonic() - start)


def _sane(score: Score) -> Score:
    if math.isnan(score.value):
        return score if score.failure else Score.missing("the scorer gave NaN")
    return (
        score if 0.0 <= score.value <= 5.0 else Score.missing(f"the scorer gave {score.value}, not in [0, 5]")
    )


def _scores(ticket: Ticket, name: str, late: str) -> list[Score]:
    scores = [Score.missing(late)] * len(ticket)
    for row in ticket.blank:
        scores[row] = Score.missing("the edit holds NaN or infinity")
    for future in ticket.calls[name]:
        if _is_back(future):
            call = future.result()
            for row, score in zip(call.rows, call.scores, strict=True):
                scores[row] = score
    return scores


def _is_back(future: Future[Any]) -> bool:
    return future.done() and not future.cancelled()


def _count_unchanged(requests: list[ScoreRequest], tolerance: float) -> int:
    return sum(is_unchanged(request.sources[0], request.edit, tolerance) for request in requests)
