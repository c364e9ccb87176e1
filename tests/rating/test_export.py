"""Exports: what people said, read back by the project's reader and by others' rules."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hpedit.calibration.importers.attach import attach
from hpedit.calibration.importers.label_studio import ratings_in_label_studio
from hpedit.calibration.importers.table import ratings_in_csv
from hpedit.calibration.quarantine import Quarantine
from hpedit.cases import HumanRating
from hpedit.rating.export import (
    label_studio,
    preferred_pairs,
    rated_cases,
    write_label_studio,
    write_scores_csv,
    write_votes_csv,
)
from hpedit.rating.store import Answer
from hpedit.records import read_cases, write_cases, write_pairs
from tests.rating.support import rated_case

CASES = {c.case_id: c for c in (rated_case(n) for n in range(3))}
(ONE, TWO, _) = CASES
P, Q, R = (c.cand_id for c in CASES[ONE].candidates)
SCORE = Answer("ann", "score", "first", ONE, P, None, "4", 900, 1700000000.25, 0, "1x1@1", "0", "1")
VOTE = replace(SCORE, mode="vote", right=Q, value="left")
HIDDEN = [
    replace(SCORE, kind="repeat", value="0"),
    replace(SCORE, kind="sanity", left="", value="0"),
    replace(SCORE, left=Q, value="broken"),
]


def test_ratings_are_where_the_projects_reader_finds_them(tmp_path: Path):
    said = [SCORE, replace(SCORE, rater="bob", value="2"), replace(SCORE, left=Q, value="0"), *HIDDEN]
    write_cases(tmp_path / "c.parquet", rated_cases(CASES, said, "overall"))
    read = list(read_cases(str(tmp_path / "c.parquet")))
    assert [c.case_id for c in read] == list(CASES)
    assert read[0].humans == (
        HumanRating(P, "ann", "overall", 4.0, ts=1700000000.25, ms=900),
        HumanRating(P, "bob", "overall", 2.0, ts=1700000000.25, ms=900),
        HumanRating(Q, "ann", "overall", 0.0, ts=1700000000.25, ms=900),
    )
    assert read[1].humans == ()
    assert [c.image.read() for c in read[0].candidates] == [c.image.read() for c in CASES[ONE].candidates]


def test_an_export_into_an_export_changes_what_changed_and_keeps_the_rest():
    before = (HumanRating(P, "ann", "overall", 1.0), HumanRating(P, "old", "overall", 5.0))
    cases = {ONE: replace(CASES[ONE], humans=before)}
    once = {c.case_id: c for c in rated_cases(cases, [SCORE], "overall")}
    assert [(h.rater, h.value) for h in once[ONE].humans] == [("ann", 4.0), ("old", 5.0)]
    assert list(rated_cases(once, [SCORE], "overall")) == list(once.values())


def test_csv_has_one_line_a_score(tmp_path: Path):
    assert write_scores_csv(tmp_path, [SCORE, *HIDDEN], "overall") == 1
    with (tmp_path / "scores.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.DictReader(file)) == [
            {"case_id": ONE, "cand_id": P, "rater": "ann", "dim": "overall", "value": "4", "ms": "900"}
            | {"ts": "1700000000.250"}
        ]


def test_csv_has_one_line_a_vote(tmp_path: Path):
    odd = replace(VOTE, rater='o"dd, one')
    assert write_votes_csv(tmp_path, [VOTE, odd, replace(VOTE, value="broken")]) == 2
    with (tmp_path / "votes.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["left"], r["right"], r["vote"], r["rater"]) for r in rows] == [
        (P, Q, "left", "ann"),
        (P, Q, "left", 'o"dd, one'),
    ]


def test_label_studio_has_a_task_an_edit_and_an_annotation_a_rater(tmp_path: Path):
    said = [SCORE, replace(SCORE, rater="bob", value="0"), *HIDDEN, VOTE]
    assert write_label_studio(tmp_path, label_studio(CASES, said, "overall")) == 2
    scores, votes = json.loads((tmp_path / "label_studio.json").read_text(encoding="utf-8"))
    case = CASES[ONE]
    assert scores["data"] == {
        "case_id": ONE,
        "task": case.task,
        "instruction": case.instruction,
        "cand_id": P,
    }
    assert [a["completed_by"]["email"] for a in scores["annotations"]] == ["ann", "bob"]
    assert [a["result"][0]["value"] for a in scores["annotations"]] == [{"number": 4.0}, {"number": 0.0}]
    assert scores["annotations"][0]["lead_time"] == 0.9
    assert scores["annotations"][0]["created_at"] == "2023-11-14T22:13:20.250+00:00"
    assert (votes["data"]["left"], votes["data"]["right"]) == (P, Q)
    (vote,) = votes["annotations"][0]["result"]
    assert (vote["type"], vote["value"]) == ("choices", {"choices": ["left"]})


def test_calibration_imports_what_is_exported(tmp_path: Path):
    said = [SCORE, replace(SCORE, rater="bob", value="0"), replace(SCORE, case_id=TWO, value="5"), *HIDDEN]
    said[2] = replace(said[2], left=CASES[TWO].candidates[1].cand_id)
    write_scores_csv(tmp_path, said, "overall")
    write_label_studio(tmp_path, label_studio(CASES, said, "overall"))
    wanted = [case for case in rated_cases(CASES, said, "overall") if case.humans]
    bad = Quarantine()
    for loose in (
        ratings_in_csv(tmp_path / "scores.csv"),
        ratings_in_label_studio(tmp_path / "label_studio.json", bad),
    ):
        assert list(attach(CASES.values(), loose, bad)) == wanted
    assert len(bad) == 0


def votes(*said: tuple[str, str, str]) -> list[Answer]:
    return [replace(VOTE, rater=str(i), left=a, right=b, value=v) for i, (a, b, v) in enumerate(said)]


@pytest.mark.parametrize(
    ("said", "winner"),
    [
        ([(P, Q, "left")], P),
        ([(Q, P, "left")], Q),
        ([(P, Q, "left"), (Q, P, "right"), (P, Q, "right")], P),
        ([(P, Q, "left"), (P, Q, "right")], None),
        ([(P, Q, "left"), (P, Q, "tie")], None),
        ([(P, Q, "left"), (P, Q, "left"), (P, Q, "both_bad")], P),
        ([(P, Q, "tie")], None),
        ([(P, Q, "left"), (P, Q, "broken")], P),
    ],
)
def test_an_edit_is_preferred_by_more_than_half_of_all_votes(said, winner):
    pairs = list(preferred_pairs(CASES, votes(*said)))
    images = {c.cand_id: c.image for c in CASES[ONE].candidates}
    wanted: dict[str | None, list] = {P: [(images[P], images[Q])], Q: [(images[Q], images[P])], None: []}
    assert [(p.preferred, p.rejected) for p in pairs] == wanted[winner]


def test_pairs_are_what_training_on_preferences_reads(tmp_path: Path):
    said = [*votes((P, Q, "left"), (R, P, "right"))]
    assert write_pairs(tmp_path / "p.parquet", preferred_pairs(CASES, said)) == 2
    cases = read_cases(str(tmp_path / "p.parquet"))
    images = {c.cand_id: np.asarray(c.image.decode()) for c in CASES[ONE].candidates}
    for index, (best, worst) in enumerate([(P, R), (P, Q)]):
        pair = cases.pair(index)
        assert pair.case.case_id == ONE
        assert np.array_equal(np.asarray(pair.preferred.decode()), images[best])
        assert np.array_equal(np.asarray(pair.rejected.decode()), images[worst])
