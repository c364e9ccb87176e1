"""Rated cases cut in three: one to refine a prompt on, one to choose by, one to report on. Pure."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from hpedit.calibration.ratings import RatedEdit

Shares = tuple[float, float, float]


@dataclass(frozen=True)
class Split:
    """Rated edits in three parts; all edits of a case are in the same part.

    Attributes:
        optimise: what an engine may look at.
        select: what chooses among the engine's candidates.
        report: what the figures are taken on, scored once the choice is made.
    """

    optimise: tuple[RatedEdit, ...]
    select: tuple[RatedEdit, ...]
    report: tuple[RatedEdit, ...]


def split_cases(
    edits: Sequence[RatedEdit], shares: Shares = (0.5, 0.25, 0.25), seed: int = 0, bins: int = 5
) -> Split:
    """Split by case, stratified by task and by the people's mean score of a case.

    Within a task the cases are ranked by score and cut into ``bins`` quantile bins. Each bin is shuffled by a hash
    of (seed, case_id) and dealt out by the shares, so every part has its share of every bin, give or take one case;
    the order in which the edits come does not matter.
    Raises ValueError if the shares are not three positive numbers that sum to 1, or a part would be empty.
    """
    if min(shares) <= 0 or not math.isclose(sum(shares), 1.0):
        raise ValueError(f"shares: expected three positive numbers that sum to 1, got {shares}")
    cases = _by_case(edits)
    parts = _deal([case for bin in _strata(cases, seed, bins) for case in bin], shares)
    if not all(parts):
        sizes = "/".join(str(len(part)) for part in parts)
        raise ValueError(
            f"shares: expected every part to get a case; {len(cases)} rated cases give {sizes} "
            "(optimise/select/report)"
        )
    optimise, select, report = (tuple(e for case in sorted(part) for e in cases[case]) for part in parts)
    return Split(optimise, select, report)


def _by_case(edits: Sequence[RatedEdit]) -> dict[str, list[RatedEdit]]:
    """Group the edits by case, each group in an order of its own."""
    cases: dict[str, list[RatedEdit]] = defaultdict(list)
    for edit in sorted(edits, key=lambda e: (e.case.case_id, e.candidate.cand_id)):
        cases[edit.case.case_id].append(edit)
    return cases


def _strata(cases: dict[str, list[RatedEdit]], seed: int, bins: int) -> list[list[str]]:
    """Return the cases' ids by task and quantile bin of their score, shuffled within a bin."""
    tasks: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for case_id, edits in cases.items():
        tasks[edits[0].task].append((math.fsum(e.mean for e in edits) / len(edits), case_id))
    strata = []
    for _, ranked in sorted(tasks.items()):
        ranked.sort()
        edges = [len(ranked) * i // bins for i in range(bins + 1)]
        for low, high in pairwise(edges):
            ids = (case_id for _, case_id in ranked[low:high])
            strata.append(sorted(ids, key=lambda case_id: _shuffled(seed, case_id)))
    return strata


def _shuffled(seed: int, case_id: str) -> bytes:
    return hashlib.blake2b(f"{seed}/{case_id}".encode(), digest_size=16).digest()


def _deal(ordered: Sequence[str], shares: Shares) -> tuple[list[str], list[str], list[str]]:
    """Give each case to the part that is furthest below its share, so that any run of cases is dealt fairly."""
    parts: tuple[list[str], list[str], list[str]] = ([], [], [])
    for dealt, case_id in enumerate(ordered, start=1):
        due = [share * dealt - len(part) for share, part in zip(shares, parts, strict=True)]
        parts[due.index(max(due))].append(case_id)
    return parts
