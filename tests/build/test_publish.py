"""What is published opens with datasets, trains, and says what it is."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from datasets import load_dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hpedit.build.charts import bar_chart
from hpedit.build.chunks import ParquetRecords
from hpedit.build.engine import Engine
from hpedit.build.filter import Filter
from hpedit.build.hardness import Difficulty
from hpedit.build.kinds import CASES, PHOTOS
from hpedit.build.publish import Publish, verify
from hpedit.build.shards import MAX_ROWS, Shards
from hpedit.build.stage import ExportStage, Recipe, StageSummary
from hpedit.build.step import Step
from hpedit.cases import Case, Provenance
from hpedit.records import read_cases, write_cases
from hpedit.tasks import TASKS
from tests.support.cases import flat, grey_case, scored

PHOTOGRAPHS, EACH = 40, 2


def cases() -> list[Case]:
    """Two cases for each photograph, with scores that spread more and more."""
    return [
        replace(
            grey_case(n, task=TASKS[n % 8], **scored(2.0, 2.0 + 3 * n / 80, None)),
            source=flat(n // EACH),
            categories=("cat", "dog")[: 1 + n % 2],
            provenance=Provenance("zoo" if n < 60 else "farm | barn", str(n), "CC BY 4.0" if n < 60 else ""),
        )
        for n in range(PHOTOGRAPHS * EACH)
    ]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cases through filter and publish, as a build has them."""
    folder = tmp_path_factory.mktemp("build")
    write_cases(folder / "cases.parquet", cases())
    records: ParquetRecords | None = ParquetRecords(CASES, (folder / "cases.parquet",))
    collected = StageSummary("collect", 90, 80, 7, 3, 1.0, {"damaged picture": 7}, {}, {"folders": ["x"]})
    records, filtered = Step(records, folder / "filter", Engine()).do(
        Filter(difficulty=Difficulty()), Recipe(())
    )
    assert records is not None
    stage = Publish(title="Zoo", license="cc-by-4.0", validation=0.2, test=0.1, shard_mb=0.004)
    Step(records, folder / "out", Engine()).do(stage, Recipe((collected, filtered)))
    return folder / "out"


def test_load_dataset_opens_the_folder_in_one_line(published: Path, tmp_path: Path):
    data = load_dataset(str(published), cache_dir=str(tmp_path))
    assert set(data) == {"train", "validation", "test"}
    assert sum(len(split) for split in data.values()) == PHOTOGRAPHS * EACH
    row = data["train"][0]
    assert isinstance(row["source"], Image.Image)
    assert isinstance(row["candidates"][0]["image"], Image.Image)
    assert row["scores"][2]["value"] is None


def test_every_case_is_there_once_and_whole(published: Path):
    back = {c.case_id: c for c in read_cases(str(published / "data" / "*.parquet"))}
    assert sorted(back) == sorted(case.case_id for case in cases())
    for case in cases():
        assert back[case.case_id].source.read() == case.source.read()
        assert back[case.case_id].scores == case.scores
    weights = [case.weight for case in back.values()]
    assert np.mean(weights) == pytest.approx(1)
    assert len(set(weights)) > 30


def test_no_photograph_is_in_two_splits(published: Path):
    photos = {
        split: {c.source.read() for c in read_cases(str(published / "data" / f"{split}-*.parquet"))}
        for split in ("train", "validation", "test")
    }
    assert sum(map(len, photos.values())) == len(set.union(*photos.values())) == PHOTOGRAPHS


def test_the_card_says_what_to_validate_on(published: Path):
    assert "--data.val_data 'FOLDER/data/validation-*.parquet'" in (published / "README.md").read_text()


def test_pairs_are_a_configuration_of_their_own(published: Path, tmp_path: Path):
    pairs = load_dataset(str(published), "pairs", cache_dir=str(tmp_path))
    # 3 n / 80 >= 1 from n = 27 on.
    ids = {f"case-{n}" for n in range(27, 80)}
    assert {row["case_id"] for split in pairs.values() for row in split} == ids
    train = {c.case_id for c in read_cases(str(published / "data" / "train-*.parquet"))}
    assert set(pairs["train"]["case_id"]) == ids & train
    row = pairs["train"][0]
    assert row["preferred"].getpixel((0, 0)) == 101
    assert row["rejected"].getpixel((0, 0)) == 100


def test_the_folder_as_training_data_is_its_train_split_alone(published: Path):
    train = {c.case_id for c in read_cases(str(published / "data" / "train-*.parquet"))}
    assert {c.case_id for c in read_cases(str(published))} == train


def test_files_are_cut_to_size_and_numbered(published: Path):
    files = sorted(f.name for f in (published / "data").glob("train-*"))
    assert len(files) > 1
    assert files == [f"train-{n:05d}-of-{len(files):05d}.parquet" for n in range(len(files))]
    assert not list(published.rglob(".*.part"))


def test_the_card_has_a_header_that_hubs_read(published: Path):
    _, header, body = (published / "README.md").read_text().split("---\n", 2)
    facts = yaml.safe_load(header)
    assert (facts["license"], facts["pretty_name"], facts["language"]) == ("cc-by-4.0", "Zoo", ["en"])
    assert facts["task_categories"] == ["image-to-image"]
    assert [c["config_name"] for c in facts["configs"]] == ["default", "pairs"]
    assert "| zoo | CC BY 4.0 | 60 |" in body
    assert "| farm \\| barn | unknown | 20 |" in body
    assert "| collect | 90 | 80 | 3 | 7 |" in body
    assert "| collect: damaged picture | 7 |" in body
    assert "| object_addition | 10 | 10 | 100.0% |" in body
    pictures = [line.split("(")[1][:-1] for line in body.splitlines() if line.startswith("![")]
    assert pictures == ["charts/tasks.png", "charts/categories.png", "charts/scores.png"]
    for picture in pictures:
        assert np.asarray(Image.open(published / picture).convert("L")).std() > 10


def test_the_recipe_holds_settings_and_counts(published: Path):
    recipe = json.loads((published / "recipe.json").read_text())
    assert recipe["publish"]["validation"] == 0.2
    assert [(s["name"], s["records_out"]) for s in recipe["stages"]] == [("collect", 80), ("filter", 80)]
    assert recipe["stages"][1]["settings"]["difficulty"]["least"] == 0.1


@settings(max_examples=20)
@given(st.integers(0, 9), st.floats(0, 0.5), st.floats(0, 0.4))
def test_a_photographs_split_hangs_on_itself_and_shares_come_out_as_asked(seed, validation, test):
    stage = Publish(validation=validation, test=test, seed=seed)
    photos = [n.to_bytes(4, "big") for n in range(2000)]
    splits = [stage.split(photo) for photo in photos]
    assert splits == [stage.split(photo) for photo in photos]
    assert splits.count("validation") / 2000 == pytest.approx(validation, abs=0.06)
    assert splits.count("test") / 2000 == pytest.approx(test, abs=0.06)


def test_a_larger_share_holds_the_same_photographs_out():
    photos = [bytes([n]) for n in range(200)]
    few, many = Publish(validation=0.1), Publish(validation=0.3)
    assert {p for p in photos if few.split(p) == "validation"} < {
        p for p in photos if many.split(p) == "validation"
    }


def test_rows_that_are_lost_are_noticed(published: Path):
    with pytest.raises(ValueError, match="wanted 99 rows in default/train, found"):
        verify(published, "default", {"train": 99})
    with pytest.raises(ValueError, match="pairs/nothing does not open"):
        verify(published, "pairs", {"nothing": 1})


def test_photographs_without_cases_cannot_be_published(tmp_path: Path):
    assert isinstance(Publish(), ExportStage)
    with pytest.raises(ValueError, match="publish reads cases, but what comes before it leaves photos"):
        Publish().export(ParquetRecords(PHOTOS, ()), Recipe(()), tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"validation": 0.6, "test": 0.4}, "leave something to train on, got 0.6 and 0.4"),
        ({"min_gap": 0.0}, "publish.min_gap: expected more than 0"),
        ({"shard_mb": 0.0}, "publish.shard_mb"),
    ],
)
def test_settings_that_cannot_be_are_named(changes, words):
    with pytest.raises(ValueError, match=words):
        Publish(**changes)


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(1, 30), min_size=1, max_size=8), limit=st.integers(1, 400))
def test_shards_hold_all_rows_in_order(tmp_path_factory: pytest.TempPathFactory, sizes, limit):
    folder = tmp_path_factory.mktemp("shards")
    numbers = iter(range(1000))
    tables = [pa.table({"n": [next(numbers) for _ in range(size)]}) for size in sizes]
    shards = Shards(folder, "train", tables[0].schema, limit)
    for table in tables:
        shards.add(table)
    files = shards.close()
    assert files == sorted(folder.iterdir())
    assert [n for f in files for n in pq.read_table(f)["n"].to_pylist()] == list(range(sum(sizes)))
    # Each file but the last is full, and was not before its last table.
    assert all(pq.read_table(f).nbytes >= limit for f in files[:-1])


def test_a_file_of_tiny_rows_is_full_before_its_bytes_are(tmp_path: Path):
    table = pa.table({"n": list(range(MAX_ROWS // 3 + 1))})
    shards = Shards(tmp_path, "train", table.schema, 10**12)
    for _ in range(4):
        shards.add(table)
    assert [pq.read_metadata(f).num_rows for f in shards.close()] == [3 * len(table), len(table)]


def test_a_chart_of_eighty_categories_grows_with_them(tmp_path: Path):
    bar_chart(tmp_path / "few.png", "few", {"cat": 3, "dog": 0})
    bar_chart(tmp_path / "many.png", "many", {f"category {n}": n for n in range(80)})
    few, many = (Image.open(io.BytesIO((tmp_path / f"{n}.png").read_bytes())) for n in ("few", "many"))
    assert few.width == many.width
    assert many.height > 5 * few.height
