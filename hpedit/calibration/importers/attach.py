"""Ratings that name a case and a candidate, laid into the cases that have the pictures."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from hpedit.calibration.quarantine import Quarantine
from hpedit.calibration.ratings import BEST, is_score
from hpedit.cases import Case, HumanRating


@dataclass(frozen=True)
class Loose:
    """A rating on its way to its case.

    Attributes:
        record: what messages call it, such as its line.
        cand_id: of the edit; "" where the case has only one.
        value: as it was read, not yet checked.
        ts, ms: when, in seconds since the epoch, and how long it took.
    """

    record: str
    case_id: str
    cand_id: str
    rater: str
    dim: str
    value: Any
    ts: float | None = None
    ms: int | None = None


def attach(cases: Iterable[Case], ratings: Iterable[Loose], bad: Quarantine) -> Iterator[Case]:
    """Yield the cases that were rated, with their ratings.

    A rating that the case has already (same candidate, rater and dimension) gives way, so that a file may be imported
    twice. What is no number from 0 to 5, or names no candidate that there is, is set apart in ``bad``.
    """
    waiting: defaultdict[str, list[Loose]] = defaultdict(list)
    for rating in ratings:
        waiting[rating.case_id].append(rating)
    for case in cases:
        given = [r for loose in waiting.pop(case.case_id, []) if (r := _bound(loose, case, bad)) is not None]
        if given:
            new = {(r.cand_id, r.rater, r.dim) for r in given}
            kept = [h for h in case.humans if (h.cand_id, h.rater, h.dim) not in new]
            yield replace(case, humans=(*kept, *given))
    for case_id, left in waiting.items():
        for loose in left:
            bad.add(f"{loose.record} ({case_id})", "a rating of a case that the data do not have")


def number(value: Any) -> float:
    """Return what a field says as a number, NaN where it says none."""
    if isinstance(value, bool):
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def rescaled(value: Any, lowest: float, highest: float) -> float:
    """Bring a number from [lowest, highest] to [0, 5]. Raises ValueError where it lies outside or is none."""
    score = number(value)
    if not lowest <= score <= highest:
        raise ValueError(f"expected a number from {lowest:g} to {highest:g}")
    return BEST * (score - lowest) / (highest - lowest)


def _bound(loose: Loose, case: Case, bad: Quarantine) -> HumanRating | None:
    ids = [candidate.cand_id for candidate in case.candidates]
    cand_id = loose.cand_id or (ids[0] if len(ids) == 1 else "")
    value = number(loose.value)
    if not loose.rater:
        bad.add(loose.record, "a rating that names no rater")
    elif cand_id not in ids:
        what = "a rating of a candidate that the case does not have" if loose.cand_id else "no cand_id"
        bad.add(f"{loose.record} ({case.case_id}/{loose.cand_id})", what)
    elif not is_score(value):
        bad.add(f"{loose.record} ({case.case_id}/{cand_id})", "a rating that is no number from 0 to 5")
    else:
        return HumanRating(cand_id, loose.rater, loose.dim, value, loose.ts, loose.ms)
    return None
