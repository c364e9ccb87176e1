"""Asking scorers about many edits: several calls in flight, each answer filed at once, a stop when it is hopeless."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice

from tqdm import tqdm

from hpedit.pictures import BadPicture
from hpedit.scorers.base import Score, ScoreRequest
from hpedit.scorers.pool import WeightedScorer, ask
from hpedit.scoring.edits import Edit, reader
from hpedit.scoring.journal import Entry, Journal
from hpedit.scoring.judges import Judges, Label, label_of

_ENOUGH = 50  # answers, before a share of failures among them says something


@dataclass(frozen=True)
class Question:
    """One edit for one scorer; ``key`` is what its answer is filed under."""

    key: str
    edit: Edit
    member: WeightedScorer
    label: Label


@dataclass
class Tally:
    """How a run goes: answers, failures by reason, seconds."""

    answers: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    started: float = field(default_factory=time.monotonic)

    def add(self, entries: Sequence[Entry]) -> None:
        self.answers += len(entries)
        self.failures.update(entry.failure for entry in entries if entry.failure)

    def __str__(self) -> str:
        seconds = max(time.monotonic() - self.started, 1e-9)
        rate = f"{self.answers} scores in {seconds:.1f} s ({self.answers / seconds:.3g} a second)"
        return f"{rate}, {self.failures.total()} of them failed"


def questions(edits: Sequence[Edit], members: Sequence[WeightedScorer], max_pixels: int) -> list[Question]:
    """List what there is to ask, edit by edit within each scorer."""
    digests = [edit.digest() for edit in edits]
    asked = []
    for member in members:
        labels = {task: label_of(member, task) for task in {edit.case.task for edit in edits}}
        for digest, edit in zip(digests, edits, strict=True):
            label = labels[edit.case.task]
            how = hashlib.blake2b(repr((label, max_pixels)).encode(), digest_size=8).hexdigest()
            asked.append(Question(f"{digest}-{how}", edit, member, label))
    return asked


def ask_all(asked: Sequence[Question], judges: Judges, journal: Journal, max_pixels: int) -> Tally:
    """File an answer to every question in the journal; the order is that of the answers.

    Raises ConnectionError, with the scorer's most frequent words, when too many answers are failures.
    """
    tally = Tally()
    threads = ThreadPoolExecutor(judges.max_in_flight, thread_name_prefix="scoring")
    batches, waiting = _batches(asked, judges.batch_size), set[Future[list[Entry]]]()
    try:
        with tqdm(total=len(asked), unit="edit", disable=None, smoothing=0.1) as bar:
            while True:
                # One batch beyond those under way for each thread, so that none has to wait for this one.
                free = 2 * judges.max_in_flight - len(waiting)
                waiting |= {threads.submit(_answers, batch, max_pixels) for batch in islice(batches, free)}
                if not waiting:
                    return tally
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    entries = future.result()
                    journal.add(entries)
                    tally.add(entries)
                    bar.update(len(entries))
                bar.set_postfix(failed=tally.failures.total())
                _expect_working(tally, len(asked), judges.max_failed_share)
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


def _batches(asked: Sequence[Question], size: int) -> Iterator[list[Question]]:
    """Cut the questions to each scorer into batches."""
    members = {question.member.name: question.member for question in asked}
    for name in members:
        mine = [question for question in asked if question.member.name == name]
        yield from (mine[i : i + size] for i in range(0, len(mine), size))


def _answers(batch: list[Question], max_pixels: int) -> list[Entry]:
    read = reader(max_pixels)
    requests: dict[int, ScoreRequest] = {}
    scores: dict[int, Score] = {}
    for i, question in enumerate(batch):
        try:
            requests[i] = question.edit.request(read)
        except BadPicture as error:
            scores[i] = Score.missing(str(error))
    scores |= dict(zip(requests, ask(batch[0].member.scorer, list(requests.values())), strict=True))
    return [_entry(question, scores[i]) for i, question in enumerate(batch)]


def _entry(question: Question, score: Score) -> Entry:
    record = question.label.record(question.edit.candidate.cand_id, score, time.time())
    return Entry(question.key, record, score.failure)


def _expect_working(tally: Tally, total: int, max_failed_share: float) -> None:
    failed = tally.failures.total()
    if tally.answers < min(_ENOUGH, total) or failed <= max_failed_share * tally.answers:
        return
    words, times = tally.failures.most_common(1)[0]
    raise ConnectionError(
        f"{failed} of {tally.answers} scores could not be had, most often ({times} times): {words} "
        f"(--reward.max_failed_share is {max_failed_share:.0%}; what was had is kept, and the same command goes on)"
    )
