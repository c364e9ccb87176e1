"""Preference pairs of a scored case: its best candidate against its worst."""

from __future__ import annotations

from dataclasses import replace

from hpedit.cases import Case, Pair, ScoreRecord


def preference(case: Case, min_gap: float) -> Pair | None:
    """Return a case's best candidate against its worst, or None where their scores differ by less than ``min_gap``.

    The pair's case keeps the two scores and no candidates: their pictures are in the pair. Of several scores of one
    candidate the latest counts.
    """
    pictures = {candidate.cand_id: candidate.image for candidate in case.candidates}
    latest = {score.cand_id: score for score in case.scores if score.cand_id in pictures}
    had = [(score.value, score) for score in latest.values() if score.value is not None]
    if not had:
        return None
    (high, best), (low, worst) = max(had, key=_value), min(had, key=_value)
    if best is worst or high - low < min_gap:
        return None
    bare = replace(case, candidates=(), scores=(best, worst), humans=())
    return Pair(bare, pictures[best.cand_id], pictures[worst.cand_id])


def _value(scored: tuple[float, ScoreRecord]) -> float:
    return scored[0]
