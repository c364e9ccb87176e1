"""Reading and writing of cases: nothing is lost on the way, and what is wrong says so."""

import io
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hpedit.cases import Candidate, Case, HumanRating, Pair, Provenance, ScoreRecord, case_of
from hpedit.pictures import BadPicture, Picture
from hpedit.records import read_cases, rewrite_cases, write_cases, write_pairs
from tests.support.photos import write_photo_dataset


def encoded(color="red", size=(8, 6), mode="RGB", format="PNG", **settings):
    buffer = io.BytesIO()
    Image.new(mode, size, color).save(buffer, format=format, **settings)
    return buffer.getvalue()


def full_case(case_id="a", **changes):
    facts = {
        "task": "object_removal",
        "instruction": "Remove the dog.",
        "source": Picture(encoded("red")),
        "instruction_lang": "en",
        "requirement": "Keep the cat.",
        "references": (Picture(encoded("blue")), Picture(encoded("green"))),
        "target": Picture(encoded("white")),
        "categories": ("dog", "cat"),
        "provenance": Provenance("coco", "17", "CC BY 4.0"),
        "candidates": (Candidate("k0", Picture(encoded("black")), "base", 3, '{"steps": 8}'),),
        "scores": (
            ScoreRecord("k0", "hp", "v1", "expectation", 3.25, (0.0, 0.0, 0.25, 0.25, 0.5, 0.0), 0.9, 1.5),
        ),
        "humans": (HumanRating("k0", "ann", "overall", 4.0, 2.5, 900),),
        "weight": 0.25,
    }
    return Case(case_id, **(facts | changes))


def facts_of(case):
    """A case as plain values, pictures as the bytes they are."""

    def plain(value):
        if isinstance(value, Picture):
            return value.read()
        if isinstance(value, tuple):
            return [plain(v) for v in value]
        return (
            {k: plain(v) for k, v in vars(value).items()} if hasattr(value, "__dataclass_fields__") else value
        )

    return plain(case)


def test_a_case_comes_back_from_parquet_as_it_was_written(tmp_path):
    bare = Case("b", "bokeh", "Blur it.", Picture(encoded("red")))
    assert write_cases(tmp_path / "x.parquet", iter([full_case(), bare])) == 2
    back = read_cases(str(tmp_path / "x.parquet"))
    assert [facts_of(c) for c in back] == [facts_of(full_case()), facts_of(bare)]


def test_a_data_set_from_before_there_were_weights_draws_all_cases_alike(tmp_path):
    write_cases(tmp_path / "new.parquet", [full_case()])
    pq.write_table(pq.read_table(tmp_path / "new.parquet").drop_columns(["weight"]), tmp_path / "old.parquet")
    assert read_cases(str(tmp_path / "old.parquet"))[0].weight == 1.0


@pytest.mark.parametrize("weight", [-1.0, math.inf, math.nan])
def test_a_weight_that_nothing_can_be_drawn_by_is_refused(weight):
    row = {"task": "bokeh", "instruction": "Blur it.", "source": encoded(), "weight": weight}
    with pytest.raises(ValueError, match="weight: expected a finite number >= 0"):
        case_of(row, Path(), "x")


def test_datasets_reads_the_file_in_one_line_and_decodes_its_pictures(tmp_path):
    write_cases(tmp_path / "x.parquet", [full_case()])
    row = load_dataset("parquet", data_files=str(tmp_path / "x.parquet"), split="train")[0]
    assert row["source"].getpixel((0, 0)) == (255, 0, 0)
    assert [r.getpixel((0, 0)) for r in row["references"]] == [(0, 0, 255), (0, 128, 0)]
    assert row["candidates"][0]["image"].size == (8, 6)
    assert row["scores"][0]["value"] == 3.25


def test_pairs_come_back_as_they_were_written(tmp_path):
    pair = Pair(full_case(), Picture(encoded("lime")), Picture(encoded("navy")))
    write_pairs(tmp_path / "x.parquet", [pair])
    back = read_cases(str(tmp_path / "x.parquet")).pair(0)
    assert facts_of(back) == facts_of(pair)


def test_an_alias_of_a_task_is_written_by_its_own_name(tmp_path):
    write_cases(tmp_path / "x.parquet", [full_case(task="Remove")])
    assert read_cases(str(tmp_path / "x.parquet"))[0].task == "object_removal"


def test_a_write_that_fails_leaves_no_file_and_names_the_case(tmp_path):
    with pytest.raises(ValueError, match=r"case z: unknown task 'fly'"):
        write_cases(tmp_path / "x.parquet", [full_case(), full_case("z", task="fly")])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_several_files_and_a_glob_are_one_data_set(tmp_path):
    for name in ("p1", "p0"):
        write_cases(tmp_path / "deep" / f"{name}.parquet", [full_case(name)])
    assert [c.case_id for c in read_cases(str(tmp_path))] == ["p0", "p1"]
    assert [c.case_id for c in read_cases(str(tmp_path / "deep" / "p1*.parquet"))] == ["p1"]


def test_a_folder_with_metadata_and_its_parquet_hold_the_same_photos(tmp_path):
    written = write_photo_dataset(tmp_path)
    folder, parquet = read_cases(str(written.folder)), read_cases(str(written.parquet))
    assert len(folder) == len(parquet) == written.cases == 24
    for one, other in zip(folder, parquet, strict=True):
        assert (one.case_id, one.task, one.instruction) == (other.case_id, other.task, other.instruction)
        assert one.source.read() == other.source.read()
    assert len({c.task for c in folder}) == 8
    assert len({c.source.size() for c in folder}) >= 5


def write_lines(folder, *rows):
    folder.mkdir(exist_ok=True)
    (folder / "metadata.jsonl").write_text(
        "\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows)
    )
    return str(folder)


def test_metadata_may_name_references_targets_and_candidates_by_path(tmp_path):
    for name in ("s", "r", "t", "k"):
        (tmp_path / f"{name}.png").write_bytes(encoded(size=(ord(name), 1)))
    row = {
        "source": "s.png",
        "references": ["r.png"],
        "target": "t.png",
        "task": "add",
        "instruction": "Add a hat.",
    }
    row["candidates"] = [{"cand_id": "c", "image": "k.png"}]
    case = read_cases(write_lines(tmp_path, row))[0]
    pictures = [case.source, *case.references, case.target, case.candidates[0].image]
    assert [p.size()[1] for p in pictures] == [ord(c) for c in "srtk"]


def test_a_line_that_is_not_json_costs_only_itself(tmp_path):
    (tmp_path / "s.png").write_bytes(encoded())
    good = {"file_name": "s.png", "task": "add", "instruction": "Add a hat."}
    cases = read_cases(write_lines(tmp_path, good, '{"file_name": "s.pn', good))
    assert len(cases) == 3
    assert cases[2].instruction == "Add a hat."
    with pytest.raises(ValueError, match="line 2 is not JSON"):
        cases[1]
    assert cases.label(1) == "record 1"
    assert cases.label(2) == "record 2 (s.png)"


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (
            [{"file_name": "s.png", "task": "add", "prompt": "x"}],
            "no_such.*expected a column 'instruction', got .*prompt",
        ),
        (
            [{"image": "s.png", "task": "add", "instruction": "x"}],
            "column 'file_name' or 'source', got .*image",
        ),
        ([], "the data set is empty"),
    ],
)
def test_a_wrong_column_or_an_empty_data_set_names_the_flag(tmp_path, rows, words):
    with pytest.raises(ValueError, match=words.replace("no_such", "--data.data=")) as caught:
        read_cases(write_lines(tmp_path, *rows), "--data.data")
    assert str(caught.value).startswith("--data.data=")


def test_an_empty_parquet_names_the_flag(tmp_path):
    write_cases(tmp_path / "x.parquet", [])
    with pytest.raises(ValueError, match=r"^--data\.val_data=.*(empty|could not be read)"):
        read_cases(str(tmp_path / "x.parquet"), "--data.val_data")


@pytest.mark.parametrize("path", ["nothing.parquet", "folder", "owner/name"])
def test_a_path_with_nothing_to_read_names_the_flag(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match=rf"^--data\.data={path}: (expected|could not)"):
        read_cases(path, "--data.data")


def test_a_parquet_that_is_not_one_names_the_flag(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"PAR1 this is no parquet")
    with pytest.raises(ValueError, match=r"^--data\.data=.*could not be read as a data set"):
        read_cases(str(tmp_path / "x.parquet"), "--data.data")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"task": "add", "instruction": "  "}, "no instruction"),
        ({"instruction": "x"}, "no task"),
        ({"task": "add", "instruction": "x"}, "missing image"),
        ({"task": "add", "instruction": "x", "source": {"bytes": None, "path": None}}, "no picture"),
        (
            {"task": "add", "instruction": "x", "source": "s", "scores": [{"value": 3}]},
            "ScoreRecord.*cand_id",
        ),
    ],
)
def test_a_faulty_row_says_what_it_lacks(tmp_path, row, words):
    with pytest.raises(ValueError, match=words):
        case_of(row, tmp_path, "row-0")


# ---- pictures


def test_what_is_no_picture_has_one_reason_to_count_by():
    for text in (b"one text", b"another text"):
        with pytest.raises(BadPicture, match=r"^damaged picture$"):
            Picture(text).decode()


def test_a_missing_an_empty_and_a_damaged_picture_say_so(tmp_path):
    (tmp_path / "empty.png").touch()
    whole = encoded(size=(64, 64))
    with pytest.raises(BadPicture, match=r"missing image: .*gone\.png"):
        Picture(tmp_path / "gone.png").size()
    with pytest.raises(BadPicture, match="zero bytes"):
        Picture(tmp_path / "empty.png").size()
    with pytest.raises(BadPicture, match="no readable picture header"):
        Picture(b"this is no picture").size()
    torn = Picture(whole[: len(whole) // 2])
    assert torn.size() == (64, 64)
    with pytest.raises(BadPicture, match="damaged picture"):
        torn.decode()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_seen_upright(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.zeros((16, 32, 3), dtype=np.uint8)
    stored[:8, :16] = 255  # where the stored upper left corner is shown tells the orientations apart
    buffer = io.BytesIO()
    Image.fromarray(stored).save(buffer, format="JPEG", exif=exif, quality=100)
    picture = Picture(buffer.getvalue())
    # The EXIF standard: which shown side (row 0, column 0) of the stored picture is.
    corner = {1: "tl", 2: "tr", 3: "br", 4: "bl", 5: "tl", 6: "tr", 7: "br", 8: "bl"}[orientation]
    shown = np.asarray(picture.decode().convert("L"))
    assert picture.size() == shown.shape == ((32, 16) if orientation >= 5 else (16, 32))
    rows, columns = np.nonzero(shown > 128)
    assert corner == ("t" if rows.mean() < shown.shape[0] / 2 else "b") + (
        "l" if columns.mean() < shown.shape[1] / 2 else "r"
    )


def test_transparency_is_laid_on_white_and_other_modes_become_rgb():
    clear = Picture(encoded((10, 20, 30, 0), mode="RGBA")).decode()
    half = Picture(encoded((0, 0, 0, 51), mode="RGBA")).decode()
    assert clear.getpixel((0, 0)) == (255, 255, 255)
    assert half.getpixel((0, 0)) == (204, 204, 204)
    assert Picture(encoded(77, mode="L")).decode().getpixel((3, 3)) == (77, 77, 77)
    deep = io.BytesIO()
    Image.fromarray(np.full((4, 4), 0x4D12, dtype=np.uint16)).save(deep, format="PNG")
    assert Picture(deep.getvalue()).decode().getpixel((0, 0)) == (0x4D, 0x4D, 0x4D)


def test_the_header_of_a_large_picture_is_read_without_the_rest(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, format="PNG")
    head = buffer.getvalue()[: 1 << 16]
    (tmp_path / "cut.png").write_bytes(head)
    assert len(buffer.getvalue()) > len(head)
    assert Picture(tmp_path / "cut.png").size() == (300, 400)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=40), min_size=2, max_size=6, unique=True))
def test_equal_pictures_and_only_they_share_a_fingerprint(contents):
    prints = [Picture(c).fingerprint() for c in contents]
    assert len(set(prints)) == len(contents)
    assert prints == [Picture(bytes(bytearray(c))).fingerprint() for c in contents]


def test_a_folder_with_a_csv_is_read_and_an_empty_cell_is_no_field(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded("red"))
    table = 'file_name,instruction,task,case_id\na.png,"Cut, then paste",Remove,\na.png,Blur it,bokeh,own\n'
    (tmp_path / "metadata.csv").write_text(table, encoding="utf-8-sig")
    for path in (tmp_path, tmp_path / "metadata.csv"):
        first, second = read_cases(str(path))
        assert (first.case_id, first.instruction) == ("row-000000", "Cut, then paste")
        assert (second.case_id, second.task) == ("own", "bokeh")
        assert first.source.read() == encoded("red")


def test_a_rewrite_changes_cases_and_keeps_columns_that_no_case_knows(tmp_path):
    pair = Pair(full_case(), Picture(encoded("lime")), Picture(encoded("navy")))
    write_pairs(tmp_path / "x.parquet", [pair, Pair(full_case("b"), pair.preferred, pair.rejected)])
    data = read_cases(str(tmp_path / "x.parquet"))
    left_out = rewrite_cases(
        tmp_path / "y.parquet", data, lambda i, case: replace(case, requirement=f"{i} {case.case_id}")
    )
    assert left_out == {}
    back = read_cases(str(tmp_path / "y.parquet"))
    assert [case.requirement for case in back] == ["0 a", "1 b"]
    assert facts_of(back.pair(1).rejected) == facts_of(pair.rejected)
    assert facts_of(replace(back[0], requirement="Keep the cat.")) == facts_of(full_case())


def test_a_rewrite_leaves_out_what_cannot_be_written_and_says_why(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded("red"))
    rows = [{"file_name": name, "task": "bokeh", "instruction": "Blur."} for name in ("a.png", "gone.png")]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    left_out = rewrite_cases(tmp_path / "y.parquet", read_cases(str(tmp_path)), lambda i, case: case)
    assert list(left_out) == ["record 1 (gone.png)"]
    assert "missing image" in left_out["record 1 (gone.png)"]
    assert [c.case_id for c in read_cases(str(tmp_path / "y.parquet"))] == ["row-000000"]
