"""Rated edits for tests of calibration."""

from __future__ import annotations

from hpedit.calibration.ratings import RatedEdit
from hpedit.cases import Candidate, Case
from tests.support.cases import flat


def rated_edit(
    case_id: str, *ratings: float, cand_id: str = "k", task: str = "object_removal", grey: int = 90
) -> RatedEdit:
    """An edit, a picture of one ``grey``, with one rating of each of several raters."""
    candidate = Candidate(cand_id, flat(grey))
    case = Case(case_id, task, f"Edit {case_id}.", flat(10), candidates=(candidate,))
    raters = tuple(f"rater-{i}" for i in range(len(ratings)))
    return RatedEdit(case, candidate, task, raters, ratings)
