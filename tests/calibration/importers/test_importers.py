"""Ratings of other formats arrive whole, on our scale, and what cannot be used is named."""

import csv
import json

import pytest
from datasets import Dataset, Features, Image, Value

from hpedit.calibration.importers.attach import Loose, attach, rescaled
from hpedit.calibration.importers.edithf import edithf_cases
from hpedit.calibration.importers.editreward import editreward_cases
from hpedit.calibration.importers.label_studio import ratings_in_label_studio
from hpedit.calibration.importers.table import ratings_in_csv
from hpedit.calibration.quarantine import Quarantine
from hpedit.calibration.ratings import rated_edits
from hpedit.cases import HumanRating
from hpedit.rating.export import label_studio
from hpedit.rating.store import Answer
from hpedit.records import read_cases, write_cases
from tests.support.rated_cases import picture, rated_cases

CASES = rated_cases(3)


def loose(value, case_id="case-000", cand_id="k0", rater="zoe", dim="overall"):
    return Loose("line 2", case_id, cand_id, rater, dim, value)


def test_a_rating_takes_the_place_of_the_same_raters_older_one():
    bad = Quarantine()
    (case,) = attach(CASES, [loose("4.5"), loose(1, rater="ann0")], bad)
    mine = {h.rater: h.value for h in case.humans if h.cand_id == "k0"}
    assert (mine["zoe"], mine["ann0"], sorted(mine)) == (4.5, 1, ["ann0", "ann1", "ann2", "zoe"])
    assert not bad


@pytest.mark.parametrize(
    ("rating", "reason"),
    [
        (loose("six"), "no number from 0 to 5"),
        (loose(5.5), "no number from 0 to 5"),
        (loose(True), "no number from 0 to 5"),
        (loose(3, cand_id="k7"), "candidate that the case does not have"),
        (loose(3, cand_id=""), "no cand_id"),
        (loose(3, case_id="nowhere"), "case that the data do not have"),
        (loose(3, rater=""), "names no rater"),
    ],
)
def test_what_cannot_be_attached_is_named(rating, reason):
    bad = Quarantine()
    assert list(attach(CASES, [rating], bad)) == []
    (line,) = bad.lines()
    assert reason in line
    assert "line 2" in line


def test_other_scales_are_brought_to_ours():
    assert [rescaled(v, 2, 8) for v in (2, 5, "8")] == [0, 2.5, 5]
    with pytest.raises(ValueError, match="from 0 to 100"):
        rescaled("101", 0, 100)


def test_csv(tmp_path):
    file = tmp_path / "r.csv"
    with file.open("w", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(["case_id", "cand_id", "rater", "value", "dim", "ms", "ts"])
        rows.writerow(["case-001", "k1", "zoe", "3", "", "1500", "12.5"])
        rows.writerow(["case-001", "k1", "zoe", "2", "quality", "", ""])
    found = list(ratings_in_csv(file))
    assert [(r.dim, r.value, r.ms, r.ts) for r in found] == [
        ("overall", "3", 1500, 12.5),
        ("quality", "2", None, None),
    ]
    assert found[0].record == "r.csv:2"
    (case,) = attach(CASES, found, Quarantine())
    assert HumanRating("k1", "zoe", "overall", 3.0, 12.5, 1500) in case.humans


def test_a_csv_without_its_columns_is_refused(tmp_path):
    (tmp_path / "r.csv").write_text("case_id,score\na,3\n")
    with pytest.raises(ValueError, match="expected a column rater and value, got case_id, score"):
        list(ratings_in_csv(tmp_path / "r.csv"))


def task(*results, data=None, **annotation):
    data = {"case_id": "case-000", "cand_id": "k0"} if data is None else data
    return {
        "id": 7,
        "data": data,
        "annotations": [{"id": 1, "completed_by": 3, "result": list(results), **annotation}],
    }


def result(kind, value, name="rating"):
    return {"from_name": name, "type": kind, "value": {kind: value}}


def exported(tmp_path, *tasks):
    (tmp_path / "ls.json").write_text(json.dumps(tasks))
    return tmp_path / "ls.json"


def test_label_studios_three_controls(tmp_path):
    file = exported(
        tmp_path,
        task(
            result("rating", 4),
            lead_time=2.5,
            created_at="1970-01-01T00:00:10Z",
            completed_by={"email": "a@b"},
        ),
        task(result("choices", ["0"]), result("number", 2.5, "quality")),
        task({"type": "textarea", "from_name": "why", "value": {"text": ["good"]}}, result("rating", 1)),
        task(was_cancelled=True),
    )
    bad = Quarantine()
    found = [(r.rater, r.dim, r.value, r.ms, r.ts) for r in ratings_in_label_studio(file, bad)]
    assert found == [
        ("a@b", "overall", 4, 2500, 10.0),
        ("3", "overall", "0", None, None),
        ("3", "quality", 2.5, None, None),
        ("3", "overall", 1, None, None),
    ]
    assert not bad
    only = list(ratings_in_label_studio(file, bad, control="quality", dim="beauty"))
    assert [(r.dim, r.value) for r in only] == [("beauty", 2.5)]


def test_label_studio_tasks_that_state_no_score_are_named(tmp_path):
    file = exported(tmp_path, task(), task(result("rating", 3), data={}), task(result("choices", ["1", "2"])))
    bad = Quarantine()
    assert list(attach(CASES, ratings_in_label_studio(file, bad), bad)) == []
    assert sorted(bad.counts()) == [
        "a rating that is no number from 0 to 5",
        "a task whose data have no case_id",
        "an annotation without a rating",
    ]


def test_a_file_that_is_no_export_is_refused(tmp_path):
    (tmp_path / "ls.json").write_text('{"tasks": []}')
    with pytest.raises(ValueError, match="a list of tasks"):
        list(ratings_in_label_studio(tmp_path / "ls.json", Quarantine()))


def query(instruction, aspect):
    return (
        f"With the image editing prompt [{instruction}], the source image <image> is edited to generate the target "
        f"image <image>. Please rate the target image from {aspect} aspect on a scale of 0-100."
    )


def line(target, instruction, aspect, score):
    said = f"The quality score is {score}"
    return {"images": ["s.png", target], "query": query(instruction, aspect), "response": said}


def test_edithf(tmp_path):
    for name in ("s.png", "t0.png", "t1.png"):
        (tmp_path / name).write_bytes(picture().read())
    tricky = "Turn [the sky], the source of light, red]"
    (tmp_path / "v.jsonl").write_text(
        "\n".join(
            [
                json.dumps(line("t0.png", tricky, "visual quality", "34.50")),
                json.dumps(line("t1.png", tricky, "visual quality", "100.00")),
                json.dumps(line("t1.png", tricky, "visual quality", "180.0")),
                json.dumps(line("t1.png", tricky, "beauty", "50")),
                '{"images": ["s.png"]}',
                "no json",
            ]
        )
    )
    (tmp_path / "e.jsonl").write_text(
        json.dumps(line("t0.png", tricky, "editing instruction alignment", "0.00"))
    )
    bad = Quarantine()
    (case,) = edithf_cases([str(tmp_path / "v.jsonl"), str(tmp_path / "e.jsonl")], bad, "color_change")
    assert case.instruction == tricky
    assert len(bad) == 4
    write_cases(tmp_path / "out.parquet", [case])
    back = read_cases(str(tmp_path / "out.parquet"))
    assert sorted(edit.mean for edit in rated_edits(back, "visual_quality")) == pytest.approx([1.725, 5.0])
    (aligned,) = rated_edits(back, "instruction_alignment")
    assert (aligned.mean, aligned.task) == (0.0, "color_change")


def test_edithf_rows_need_a_task_of_ours(tmp_path):
    (tmp_path / "v.jsonl").write_text(json.dumps(line("t.png", "Go", "visual quality", "3")))
    bad = Quarantine()
    assert list(edithf_cases([str(tmp_path / "v.jsonl")], bad)) == []
    assert "no task" in bad.lines()[0]


def pair(left, right, scores, instruction="Blur it.", models=("a", "b")):
    """A row of EditReward-Data; ``scores`` are overall left, overall right, instruction left."""
    cell = {
        name: {"bytes": p.read(), "path": None}
        for name, p in (("source", picture()), ("l", left), ("r", right))
    }
    return {
        "key": "q1",
        "instruction": instruction,
        "source_img": cell["source"],
        "left_output_image": cell["l"],
        "right_output_image": cell["r"],
        "left_model": models[0],
        "right_model": models[1],
        "left_overall_score": scores[0],
        "right_overall_score": scores[1],
        "left_instruction_following_score": scores[2],
    }


def test_editreward(tmp_path):
    edits = [picture(mark=n) for n in (1, 2, 3)]
    rows = [
        pair(edits[0], edits[1], (8.0, 5.0, 4.0)),
        pair(edits[1], edits[2], (5.0, 2.0, 1.0), models=("b", "c")),
        pair(edits[0], edits[1], (8.0, 9.0, 4.0)),
        pair(edits[0], edits[1], (8.0, 5.0, 4.0), instruction="Paint it."),
    ]
    pictures = ("source_img", "left_output_image", "right_output_image")
    texts = ("key", "instruction", "left_model", "right_model")
    kinds = {n: Image() if n in pictures else Value("string" if n in texts else "float32") for n in rows[0]}
    Dataset.from_list(rows, features=Features(kinds)).to_parquet(tmp_path / "r.parquet")
    bad = Quarantine()
    first, second = editreward_cases(str(tmp_path / "r.parquet"), bad, "bokeh")
    assert [c.model for c in first.candidates] == ["a", "b", "c"]
    assert [e.mean for e in rated_edits([first])] == [5.0, 2.5, 0.0]
    assert [e.mean for e in rated_edits([first], "instruction_following")] == [5.0, 0.0]
    assert (second.instruction, len(second.candidates)) == ("Paint it.", 2)
    assert first.case_id != second.case_id
    assert bad.lines() == ["1 x right_overall_score: expected a number from 2 to 8: record 2"]
    assert first.candidates[2].image.decode().tobytes() == edits[2].decode().tobytes()


def test_what_the_rating_page_exports_comes_back(tmp_path):
    by_id = {case.case_id: case for case in CASES}
    facts = {"place": 0, "screen": "1280x800@1", "app": "0", "prompt": "1"}
    given = Answer("zoe", "score", "first", "case-002", "k1", None, "4", 1200, 50.0, **facts)
    file = exported(tmp_path, *label_studio(by_id, [given], "overall"))
    bad = Quarantine()
    (case,) = attach(CASES, ratings_in_label_studio(file, bad), bad)
    assert case.humans[-1] == HumanRating("k1", "zoe", "overall", 4.0, 50.0, 1200)
    assert not bad
