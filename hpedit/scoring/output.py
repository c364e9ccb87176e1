"""Scores in the records they belong to."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hpedit.cases import Candidate, Case, ScoreRecord
from hpedit.records import Cases, rewrite_cases
from hpedit.scorers.base import Score
from hpedit.scorers.pool import WeightedScorer, weighted_mean
from hpedit.scoring.edits import TARGET, Edit
from hpedit.scoring.journal import Entry

COMBINED = "reward"


def combine(members: Sequence[WeightedScorer], entries: Sequence[Entry]) -> Entry:
    """Join one edit's entries, one a scorer, to the weighted mean that training would reward."""
    scores = [Score(math.nan if e.record.value is None else e.record.value) for e in entries]
    value = weighted_mean(members, scores)
    failures = [e.failure for e, m in zip(entries, members, strict=True) if e.failure and m.weight > 0]
    record = ScoreRecord(
        cand_id=entries[0].record.cand_id,
        scorer=COMBINED,
        value=None if math.isnan(value) else value,
        ts=entries[-1].record.ts,
    )
    return Entry("", record, failures[0] if failures else None)


def write_scored(path: Path, data: Cases, scored: Sequence[tuple[Edit, Entry]]) -> dict[str, str]:
    """Write the data set with its new scores. Returns, by its label, why each record that is left out is.

    A score takes the place of an older one of the same candidate by the same scorer, prompt and read.
    """
    by_case: defaultdict[int, list[tuple[Candidate, ScoreRecord]]] = defaultdict(list)
    for edit, entry in scored:
        by_case[edit.index].append((edit.candidate, entry.record))
    return rewrite_cases(path, data, lambda index, case: _with_scores(case, by_case[index]))


def _with_scores(case: Case, scored: Sequence[tuple[Candidate, ScoreRecord]]) -> Case:
    new = {_identity(record): record for _, record in scored}
    known = {candidate.cand_id for candidate in case.candidates} | {TARGET}
    added = {c.cand_id: c for c, _ in scored if c.cand_id not in known}
    kept = [record for record in case.scores if _identity(record) not in new]
    return replace(case, candidates=(*case.candidates, *added.values()), scores=(*kept, *new.values()))


def _identity(record: ScoreRecord) -> tuple[str, str, str, str]:
    return record.cand_id, record.scorer, record.prompt_version, record.read
