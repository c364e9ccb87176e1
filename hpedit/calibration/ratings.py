"""Edits that people have rated: the currency of calibration."""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from hpedit.calibration.quarantine import Quarantine
from hpedit.cases import Candidate, Case
from hpedit.records import Cases
from hpedit.tasks import canonical_task

_log = logging.getLogger(__name__)
BEST = 5.0


@dataclass(frozen=True)
class Edit:
    """One edit of a case.

    Attributes:
        case: the case it is an edit of; its id is the cluster of all resampling.
        candidate: the edit.
        task: canonical task name.
    """

    case: Case
    candidate: Candidate
    task: str

    @property
    def editor(self) -> str:
        return self.candidate.model

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.case.case_id}/{self.candidate.cand_id}"


@dataclass(frozen=True)
class RatedEdit(Edit):
    """One edit and what people said of it in one dimension.

    Attributes:
        raters: who rated it, sorted, each once.
        ratings: their values in [0, 5], in the order of ``raters``; a rater's repeats are averaged.
    """

    raters: tuple[str, ...]
    ratings: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The human score in [0, 5]: every rater counts once."""
        return fmean(self.ratings)


def sound_cases(cases: Cases, bad: Quarantine) -> Iterator[Case]:
    """Yield the cases of a data set whose records can be read, setting the others apart."""
    for index in range(len(cases)):
        try:
            yield cases[index]
        except ValueError as error:
            bad.add(cases.label(index), str(error))


def edits_of(cases: Iterable[Case], bad: Quarantine) -> Iterator[Edit]:
    """Yield every candidate, rated or not, in the order of the records.

    A case of an unknown task, and a case or candidate that comes twice, are set apart in ``bad``.
    """
    for case, task, candidates in _usable(cases, bad):
        yield from (Edit(case, candidate, task) for candidate in candidates.values())


def rated_edits(
    cases: Iterable[Case], dim: str = "overall", bad: Quarantine | None = None
) -> list[RatedEdit]:
    """Return the edits that have at least one rating in dimension ``dim``, in the order of the records.

    A value that is no number in [0, 5], one of a candidate that its case lacks, and what ``edits_of`` cannot use are
    set apart in ``bad``; without it they are logged.
    Raises ValueError that lists the dimensions found where no edit is rated in ``dim``.
    """
    apart = Quarantine() if bad is None else bad
    dims: set[str] = set()
    edits: list[RatedEdit] = []
    for case, task, candidates in _usable(cases, apart):
        dims.update(rating.dim for rating in case.humans)
        for cand_id, by_rater in _values(case, dim, candidates, apart).items():
            raters = tuple(sorted(by_rater))
            ratings = tuple(fmean(by_rater[rater]) for rater in raters)
            edits.append(RatedEdit(case, candidates[cand_id], task, raters, ratings))
    if bad is None and apart:
        _log.warning("ratings set apart:\n%s", "\n".join(apart.lines()))
    if not edits:
        found = ", ".join(sorted(dims)) or "no ratings at all"
        raise ValueError(f"dim: expected edits rated in {dim!r}, got {found}")
    return edits


def _usable(cases: Iterable[Case], bad: Quarantine) -> Iterator[tuple[Case, str, dict[str, Candidate]]]:
    """Yield each case once, with its canonical task and its candidates by id."""
    seen: set[str] = set()
    for case in cases:
        try:
            task = canonical_task(case.task, f"case {case.case_id}")
        except ValueError as error:
            bad.add(f"case {case.case_id}", str(error).partition(": ")[2])
            continue
        if case.case_id in seen:
            bad.add(f"case {case.case_id}", "a second case of that id")
            continue
        seen.add(case.case_id)
        yield case, task, _by_id(case, bad)


def _by_id(case: Case, bad: Quarantine) -> dict[str, Candidate]:
    candidates: dict[str, Candidate] = {}
    for candidate in case.candidates:
        if candidate.cand_id in candidates:
            bad.add(f"{case.case_id}/{candidate.cand_id}", "a second candidate of that id")
        candidates.setdefault(candidate.cand_id, candidate)
    return candidates


def _values(
    case: Case, dim: str, candidates: dict[str, Candidate], bad: Quarantine
) -> dict[str, dict[str, list[float]]]:
    """Return the sound values by candidate, in the candidates' order, and by rater."""
    values: dict[str, dict[str, list[float]]] = {}
    for cand_id in candidates:
        values[cand_id] = defaultdict(list)
    for rating in case.humans:
        if rating.dim != dim:
            continue
        record = f"{case.case_id}/{rating.cand_id} by {rating.rater}"
        if rating.cand_id not in candidates:
            bad.add(record, "a rating of a candidate that the case does not have")
        elif not is_score(rating.value):
            bad.add(record, "a rating that is no number from 0 to 5")
        else:
            values[rating.cand_id][rating.rater].append(float(rating.value))
    return {cand_id: by_rater for cand_id, by_rater in values.items() if by_rater}


def is_score(value: Any) -> bool:
    """Say whether ``value`` is a finite number in [0, 5]."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and 0.0 <= value <= BEST
