"""What people said, edit by edit; what cannot be used is counted."""

import math
from dataclasses import replace

import pytest

from hpedit.calibration.quarantine import Quarantine
from hpedit.calibration.ratings import edits_of, is_score, rated_edits, sound_cases
from hpedit.cases import Candidate, Case, HumanRating
from hpedit.records import read_cases, write_cases
from tests.support.rated_cases import picture, rated_cases


def case(*humans, case_id="a", task="Bokeh", cands=("k0", "k1")):
    candidates = tuple(Candidate(name, picture(), "editor") for name in cands)
    return Case(case_id, task, "Blur it.", picture(), candidates=candidates, humans=humans)


def say(cand, rater, value, dim="overall"):
    return HumanRating(cand, rater, dim, value)


def test_repeats_of_one_rater_count_once():
    (edit,) = rated_edits([case(say("k0", "bob", 2), say("k0", "ann", 5), say("k0", "bob", 3))])
    assert (edit.raters, edit.ratings) == (("ann", "bob"), (5.0, 2.5))
    assert edit.mean == 3.75
    assert (edit.task, edit.editor, edit.name) == ("bokeh", "editor", "a/k0")


def test_dimensions_are_kept_apart():
    cases = [case(say("k0", "ann", 1, "quality"), say("k0", "ann", 4))]
    assert rated_edits(cases, "quality")[0].mean == 1
    with pytest.raises(ValueError, match="'taste', got overall, quality"):
        rated_edits(cases, "taste")


def test_what_cannot_be_used_is_set_apart_by_reason():
    bad = Quarantine()
    cases = [
        case(say("k0", "ann", 3), say("k0", "bob", 7), say("k1", "ann", math.nan), say("k9", "ann", 2)),
        case(say("k0", "ann", 1)),
        case(say("k0", "ann", 1), case_id="b", task="juggling"),
        case(say("k0", "ann", 1), case_id="c", cands=("k0", "k0")),
    ]
    assert [edit.name for edit in rated_edits(cases, bad=bad)] == ["a/k0", "c/k0"]
    assert sorted(bad.counts().values()) == [1, 1, 1, 1, 2]
    assert any("no number from 0 to 5: a/k0 by bob, a/k1 by ann" in line for line in bad.lines())


def test_without_a_quarantine_bad_ratings_are_logged(caplog):
    rated_edits([case(say("k0", "ann", 3), say("k0", "bob", 7))])
    assert "no number from 0 to 5" in caplog.text


def test_a_damaged_record_costs_itself(tmp_path):
    lines = ['{"case_id": "a", "task": "bokeh", "instruction": "Blur.", "file_name": "a.png"}', "not json"]
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines))
    bad = Quarantine()
    assert [c.case_id for c in sound_cases(read_cases(str(tmp_path)), bad)] == ["a"]
    assert len(bad) == 1


def test_ratings_survive_the_disk(tmp_path):
    cases = rated_cases(4)
    write_cases(tmp_path / "r.parquet", cases)
    back = rated_edits(read_cases(str(tmp_path / "r.parquet")))
    assert [(e.name, e.ratings) for e in back] == [(e.name, e.ratings) for e in rated_edits(cases)]


def test_edits_need_no_ratings():
    bare = replace(rated_cases(1)[0], humans=())
    assert [edit.name for edit in edits_of([bare], Quarantine())] == ["case-000/k0", "case-000/k1"]


@pytest.mark.parametrize("value", [True, "3", None, -0.1, 5.1, math.inf])
def test_no_score(value):
    assert not is_score(value)
