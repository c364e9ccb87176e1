"""What people said, in the project's schema and in formats that other tools read."""

from __future__ import annotations

import csv
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hpedit.cases import Case, HumanRating, Pair
from hpedit.rating.store import BROKEN, Answer

_SCORE_COLUMNS = ("case_id", "cand_id", "rater", "dim", "value", "ms", "ts")
_VOTE_COLUMNS = ("case_id", "left", "right", "rater", "vote", "ms", "ts")


def first_scores(answers: Iterable[Answer]) -> list[Answer]:
    """Return the scores that count: repeats and sanity items are about the rater, flagged items have none."""
    return [a for a in answers if a.kind == "first" and a.score is not None]


def first_votes(answers: Iterable[Answer]) -> list[Answer]:
    """Return the votes that count. See first_scores."""
    return [a for a in answers if a.kind == "first" and a.mode == "vote" and a.value != BROKEN]


def rated_cases(cases: Mapping[str, Case], answers: Iterable[Answer], dim: str) -> Iterator[Case]:
    """Yield the cases with their ratings in ``humans``.

    A rating of the same candidate, rater and dimension that the case already has is replaced, so that an export
    can be exported into again.
    """
    by_case: dict[str, list[HumanRating]] = defaultdict(list)
    for a in first_scores(answers):
        assert a.score is not None
        by_case[a.case_id].append(HumanRating(a.left, a.rater, dim, a.score, ts=a.ts, ms=a.ms))
    for case in cases.values():
        fresh = {(h.cand_id, h.rater, h.dim): h for h in by_case[case.case_id]}
        known = {(h.cand_id, h.rater, h.dim): h for h in case.humans}
        yield replace(case, humans=tuple((known | fresh).values()))


def preferred_pairs(cases: Mapping[str, Case], answers: Iterable[Answer]) -> Iterator[Pair]:
    """Yield the pairs of edits of which one has more than half of all votes, ties and "both bad" counted."""
    votes: dict[tuple[str, ...], Counter[str | None]] = defaultdict(Counter)
    for a in first_votes(answers):
        assert a.right is not None
        votes[(a.case_id, *sorted((a.left, a.right)))][a.winner] += 1
    for (case_id, *ids), count in sorted(votes.items()):
        winner = next((c for c in ids if 2 * count[c] > count.total()), None)
        if winner is not None:
            images = {c.cand_id: c.image for c in cases[case_id].candidates}
            (loser,) = (c for c in ids if c != winner)
            yield Pair(cases[case_id], images[winner], images[loser])


def write_scores_csv(folder: Path, answers: Iterable[Answer], dim: str) -> int:
    """Write scores.csv, one line a score, and return how many.

    ``ts`` is in seconds since the epoch, ``ms`` in milliseconds.
    """
    rows = [(a.case_id, a.left, a.rater, dim, a.value, a.ms, f"{a.ts:.3f}") for a in first_scores(answers)]
    return _write_csv(folder / "scores.csv", _SCORE_COLUMNS, rows)


def write_votes_csv(folder: Path, answers: Iterable[Answer]) -> int:
    """Write votes.csv, one line a vote, and return how many; ``left`` and ``right`` are as the rater saw them."""
    rows = [
        (a.case_id, a.left, a.right or "", a.rater, a.value, a.ms, f"{a.ts:.3f}")
        for a in first_votes(answers)
    ]
    return _write_csv(folder / "votes.csv", _VOTE_COLUMNS, rows)


def label_studio(cases: Mapping[str, Case], answers: Sequence[Answer], dim: str) -> list[dict[str, Any]]:
    """Return Label Studio tasks with annotations: one a candidate (result type number), or one a pair (choices)."""
    tasks: dict[tuple[str, ...], list[Answer]] = defaultdict(list)
    for a in first_scores(answers):
        tasks[(a.case_id, a.left)].append(a)
    for a in first_votes(answers):
        # By side: a vote for "left" means nothing without what was there.
        tasks[(a.case_id, a.left, a.right or "")].append(a)
    return [_task(cases, key, given, dim) for key, given in sorted(tasks.items())]


def _task(
    cases: Mapping[str, Case], key: tuple[str, ...], given: Sequence[Answer], dim: str
) -> dict[str, Any]:
    case_id, *shown = key
    names = ("cand_id",) if len(shown) == 1 else ("left", "right")
    data = {"case_id": case_id, "task": cases[case_id].task, "instruction": cases[case_id].instruction}
    data |= zip(names, shown, strict=True)
    return {"data": data, "annotations": [_annotation(a, dim) for a in given]}


def _annotation(answer: Answer, dim: str) -> dict[str, Any]:
    if answer.right is None:
        kind, value = "number", {"number": answer.score}
    else:
        kind, value = "choices", {"choices": [answer.value]}
    name = dim if answer.right is None else "vote"
    return {
        "completed_by": {"email": answer.rater},
        "created_at": datetime.fromtimestamp(answer.ts, UTC).isoformat(timespec="milliseconds"),
        "lead_time": answer.ms / 1000,
        "result": [{"from_name": name, "to_name": "edit", "type": kind, "value": value}],
    }


def write_label_studio(folder: Path, tasks: Sequence[dict[str, Any]]) -> int:
    """Write label_studio.json and return how many tasks it has."""
    text = json.dumps(tasks, indent=1, ensure_ascii=False)
    (folder / "label_studio.json").write_text(text + "\n", encoding="utf-8")
    return len(tasks)


def _write_csv(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> int:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)
    return len(rows)
