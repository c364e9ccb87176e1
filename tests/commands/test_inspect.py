"""What a user sees of a data set before training on it."""

import json
from dataclasses import replace

import pytest
from PIL import Image

from hpedit.cases import Candidate, HumanRating
from hpedit.commands.inspect import inspect
from hpedit.records import write_cases
from hpedit.tasks import TASKS
from tests.support.cases import TALL, WIDE, flat, grey_case, scored, torn
from tests.support.photos import write_photo_dataset


def seen(path, tmp_path, **settings):
    """The JSON that the command writes."""
    inspect(str(path), out=str(tmp_path / "o.json"), **({"sheet": None} | settings))
    return json.loads((tmp_path / "o.json").read_text())


def written(tmp_path, cases):
    write_cases(tmp_path / "x.parquet", cases)
    return tmp_path / "x.parquet"


def test_counts_are_those_of_the_cases(tmp_path, capsys):
    cases = [
        grey_case(0, WIDE, categories=("cat", "dog"), **scored(1.0, 4.9)),
        grey_case(1, WIDE, categories=("cat",), target=flat(99), **scored(2.4, None)),
        grey_case(
            8, TALL, references=(flat(98),), weight=3.0, humans=(HumanRating("k", "ann", "overall", 3.0),)
        ),
    ]
    cases[2] = replace(cases[2], candidates=(Candidate("k", flat(97)),))
    found = seen(written(tmp_path, cases), tmp_path)
    assert found["records"] == found["good"] == found["pictures"] == 3
    assert found["tasks"] == {TASKS[0]: 2, TASKS[1]: 1}
    assert found["categories"] == {"cat": 2, "dog": 1}
    assert found["aspects"] == {"3:2": 2, "2:3": 1}
    assert found["candidates"] == {"2": 2, "1": 1}
    assert found["scores"]["hp"]["bins"] == [0, 0, 1, 0, 1, 0, 0, 0, 0, 1]
    assert found["scores"]["hp"]["missing"] == 1
    assert found["best_score_by_task"] == {TASKS[0]: 4.9, TASKS[1]: 2.4}
    assert (found["pairable"], found["rated"], found["raters"]) == (1, 1, {"ann": 1})
    assert (found["with_target"], found["with_references"]) == (1, 1)
    assert found["weight"] == {"least": 1.0, "mean": pytest.approx(5 / 3), "most": 3.0}
    assert found["height"] == {"least": 32, "mean": pytest.approx(112 / 3), "most": 48}
    printed = capsys.readouterr().out
    assert "3 records, 3 without a problem" in printed
    assert "no problems found" in printed


FAULTS = {
    "bad task": {"task": "fly"},
    "no instruction": {"instruction": " "},
    "missing image": {"file_name": "gone.png"},
    "zero bytes": {"file_name": "zero.png"},
    "damaged picture": {"file_name": "torn.png"},
    "no readable picture header": {"file_name": "text.png"},
    "duplicate case_id": {"case_id": "good"},
    "duplicate case": {"file_name": "0.png", "instruction": "DO it. "},
    "odd language": {"instruction_lang": "zh"},
    "unchanged edit": {"target": "1.png"},
    "lost candidate": {"scores": [{"cand_id": "k", "scorer": "hp", "value": 1.0}]},
    "weight": {"weight": -1},
}


def table(folder, faults):
    """A good record, and one with each of the faults."""
    for i in range(30):
        (folder / f"{i}.png").write_bytes(flat(i).read())
    (folder / "zero.png").touch()
    (folder / "torn.png").write_bytes(torn().read())
    (folder / "text.png").write_text("not a picture")
    rows = [{"file_name": "0.png", "case_id": "good", "task": "bokeh", "instruction": "Do it."}]
    for i, fault in enumerate(faults, 1):
        plain = {"file_name": f"{i}.png", "case_id": f"c{i}", "task": "bokeh", "instruction": f"Do {i} it."}
        rows.append(plain | fault)
    if FAULTS["unchanged edit"] in faults:
        rows[1 + faults.index(FAULTS["unchanged edit"])]["file_name"] = "1.png"
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


@pytest.mark.parametrize("kind", FAULTS)
def test_every_kind_of_problem_is_named_with_its_record(tmp_path, capsys, kind):
    folder = table(tmp_path, [FAULTS[kind]])
    found = seen(folder, tmp_path, decode=kind == "damaged picture")
    assert found["records"] == 2
    assert found["good"] == 1
    wanted = (
        "damaged picture" if kind == "no readable picture header" and kind not in found["problems"] else kind
    )
    assert found["problems"] == {wanted: 1}
    assert found["examples"][wanted][0].startswith("record 1 (")
    assert f"1 x {wanted}" in capsys.readouterr().out


def test_strict_ends_with_1_only_where_there_is_a_problem(tmp_path):
    folder = table(tmp_path, [])
    inspect(str(folder), sheet=None, strict=True)
    table(folder, [FAULTS["zero bytes"]])
    inspect(str(folder), sheet=None)
    with pytest.raises(SystemExit) as end:
        inspect(str(folder), sheet=None, strict=True)
    assert end.value.code == 1


def test_headers_alone_do_not_show_what_is_torn(tmp_path):
    path = written(tmp_path, [grey_case(0, source=torn())])
    assert seen(path, tmp_path, decode=False)["good"] == 1
    assert seen(path, tmp_path)["problems"] == {"damaged picture": 1}


def test_a_limit_looks_at_the_first_records(tmp_path):
    path = written(tmp_path, [grey_case(i) for i in range(9)])
    found = seen(path, tmp_path, limit=3)
    assert found["tasks"] == dict.fromkeys(TASKS[:3], 1)


def test_photographs_give_the_same_report_from_folder_and_parquet(tmp_path):
    photos = write_photo_dataset(tmp_path, longest_side=64)
    one, other = (seen(path, tmp_path) for path in (photos.folder, photos.parquet))
    assert one["tasks"] == other["tasks"] == dict.fromkeys(TASKS, 3)
    assert (one["pictures"], one["aspects"]) == (other["pictures"], other["aspects"])
    assert one["good"] == 24


def test_the_sheet_shows_source_and_edit_of_every_task(tmp_path):
    cases = [grey_case(i, WIDE, task=TASKS[i // 20], target=flat(100 + i, WIDE)) for i in range(40)]
    inspect(str(written(tmp_path, cases)), sheet=str(tmp_path / "s.png"), cases=6)
    with Image.open(tmp_path / "s.png") as sheet:
        levels = {r for n, (r, g, b) in sheet.convert("RGB").getcolors(1 << 20) if r == g == b and n > 10_000}
    sources, edits = {v for v in levels if v < 40}, {v - 100 for v in levels if 100 <= v < 140}
    assert len(sources) == 6
    assert sources == edits
    assert len([v for v in sources if v < 20]) == 3


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"cases": 0}, "--cases, --limit: expected at least 1"),
        ({"limit": 0}, "--cases, --limit: expected at least 1"),
        ({"sheet": "s.jpg"}, "--sheet: expected a name that ends with .png"),
        ({"data": "nothing/here/at/all"}, "^data=nothing/here/at/all: expected Parquet files"),
    ],
)
def test_a_mistake_names_its_flag(tmp_path, settings, words):
    path = str(written(tmp_path, [grey_case(0)]))
    with pytest.raises(ValueError, match=words):
        inspect(**({"data": path, "sheet": None} | settings))
