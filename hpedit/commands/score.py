"""``python -m hpedit score``: scores of many edits, as Parquet, CSV and a summary."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from hpedit.locks import alone
from hpedit.records import read_cases
from hpedit.scorers.pool import WeightedScorer, expect_working
from hpedit.scoring.edits import Edit, Found, find_edits
from hpedit.scoring.journal import Entry, Journal
from hpedit.scoring.judges import Judges
from hpedit.scoring.output import combine, write_scored
from hpedit.scoring.report import summary, write_csv
from hpedit.scoring.run import Question, ask_all, questions

_SHOWN = 5


def score(
    data: str,
    edits: str = "candidates",
    out: str = "scores.parquet",
    resume: bool = True,
    max_pixels: int = 1_048_576,
    reward: Judges = Judges(),
) -> None:
    """Score edits with HP-Scorer, or with any scorer that can be a reward.

    The scorer is chosen as in train.py:

      python -m hpedit score cases.parquet --config scorer/vllm.yaml
      python -m hpedit score photos --edits edits --config scorer/openai.yaml \\
        --reward.scorers.read argmax

    Writes the data with the new scores (OUT), one line a score (the same name, .csv), and prints the mean score by
    task. Scores are filed as they come, in a journal beside them: after a crash or Ctrl-C the same command goes on,
    and asks again about what failed. A damaged picture costs its own score.

    Args:
        data: cases: Parquet, a glob or folder of it, or a folder of pictures with a metadata.jsonl or metadata.csv that
            has the columns file_name, instruction and task.
        edits: what is scored of each case: its candidates, its target, or the pictures of a folder that are named as
            the case's source file or id is (ann.jpg and ann.png match). A folder in the folder is one editor's.
        out: the Parquet to write.
        resume: keep what the journal has; false asks about everything anew.
        max_pixels: larger pictures are made smaller before they are judged; a judge that has seen pictures of one
            size in training is compared with itself at that size.
        reward: who scores, as in train.py.
    """
    target = _parquet(out)
    if max_pixels < 1:
        raise ValueError(f"--max_pixels: expected at least 1, got {max_pixels}")
    members = reward.members()
    cases = read_cases(data, "data")
    found = find_edits(cases, edits)
    _tell(found)
    asked = questions(found.edits, members, max_pixels)
    lock = target.with_name(f".{target.name}.lock")
    with alone(lock, f"--out: another process is scoring into {out}; wait for it, or name another file"):
        with Journal(target.with_suffix(".journal.jsonl"), fresh=not resume) as journal:
            _answer(asked, members, reward, journal, max_pixels)
            scored = _scored(found.edits, asked, members, journal)
        left_out = write_scored(target, cases, scored)
        write_csv(target.with_suffix(".csv"), ((edit, e.record, e.failure) for edit, e in scored))
    _tell_faults("records are left out of the Parquet", left_out)
    _summarise(scored)
    print(f"\n{target}\n{target.with_suffix('.csv')}\n{journal.path} (what is had; the same command goes on)")


COMMAND = score


def _parquet(out: str) -> Path:
    path = Path(out).expanduser()
    if path.suffix != ".parquet":
        raise ValueError(f"--out: expected a name that ends with .parquet, got {out!r}")
    return path


def _answer(
    asked: Sequence[Question],
    members: Sequence[WeightedScorer],
    judges: Judges,
    journal: Journal,
    max_pixels: int,
) -> None:
    left = [question for question in asked if not journal.has(question.key)]
    if had := len(asked) - len(left):
        print(f"{had} of {len(asked)} scores are in {journal.path}")
    expect_working([member for member in members if any(question.member is member for question in left)])
    try:
        print(ask_all(left, judges, journal, max_pixels))
    except KeyboardInterrupt:
        print(f"\ninterrupted: what was had is in {journal.path}, and the same command goes on")
        sys.exit(130)


def _scored(
    edits: Sequence[Edit], asked: Sequence[Question], members: Sequence[WeightedScorer], journal: Journal
) -> list[tuple[Edit, Entry]]:
    """Return every edit with every scorer's entry and, where several scorers count, what they come to together."""
    entries = [journal.entries[question.key] for question in asked]
    by_edit = list(zip(*(entries[i : i + len(edits)] for i in range(0, len(asked), len(edits))), strict=True))
    several = sum(member.weight > 0 for member in members) > 1
    return [
        (edit, entry)
        for edit, mine in zip(edits, by_edit, strict=True)
        for entry in (*mine, *([combine(members, mine)] if several else []))
    ]


def _tell(found: Found) -> None:
    print(f"{len(found.edits)} edits of {len({edit.index for edit in found.edits})} cases")
    _tell_faults("records cannot be used", found.faults)
    if found.bare:
        print(f"{found.bare} cases have no edit")
    if found.unmatched:
        print(f"{found.unmatched} pictures of --edits belong to no case")


def _tell_faults(what: str, faults: dict[str, str]) -> None:
    if faults:
        shown = "; ".join(f"{label}: {reason}" for label, reason in list(faults.items())[:_SHOWN])
        more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        print(f"{len(faults)} {what}: {shown}{more}")


def _summarise(scored: Sequence[tuple[Edit, Entry]]) -> None:
    for name in dict.fromkeys(entry.record.scorer for _, entry in scored):
        mine = [(edit, entry.record.value) for edit, entry in scored if entry.record.scorer == name]
        values = [math.nan if value is None else value for _, value in mine]
        print(f"\n{summary(name, [edit.case.task for edit, _ in mine], values)}")
        failures = Counter(e.failure for _, e in scored if e.failure and e.record.scorer == name)
        for reason, count in failures.most_common(_SHOWN):
            print(f"  not had, {count} x {reason}")
