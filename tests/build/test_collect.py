"""Photographs come in with where they are from; what is broken is named, what is too small is left."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path

import numpy as np
import pytest
import skimage
from datasets import Dataset, Features, Value
from datasets import Image as ImageFeature
from PIL import Image

from hpedit.build.chain import Build
from hpedit.build.collect import Collect
from hpedit.build.deduplicate import Deduplicate
from hpedit.build.kinds import PHOTOS
from hpedit.build.photo import Photo
from hpedit.build.sources import EditDataset, Folder
from hpedit.build.stage import Failure

SHIPPED = Path(skimage.__file__).parent / "data"


def noise(seed: int, width: int = 40, height: int = 32) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def save(path: Path, seed: int = 0, **size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise(seed, **size).save(path)


def collected(stage: Collect) -> dict[str, Photo]:
    """Return the photos by id; none may fail."""
    outcomes = stage.open()(stage.items())
    return {p.photo_id: p for o in outcomes if not isinstance(o, Failure) for p in o}


def test_a_photograph_keeps_its_bytes_its_origin_and_survives_the_table(tmp_path: Path):
    save(tmp_path / "mine" / "deep" / "a.png")
    [photo] = collected(Collect((Folder(str(tmp_path / "mine"), license="CC0"),), min_side=32)).values()
    assert photo.photo_id == "mine/deep/a.png"
    assert (photo.width, photo.height) == (40, 32)
    assert photo.image.read() == (tmp_path / "mine" / "deep" / "a.png").read_bytes()
    assert vars(photo.provenance) == {"dataset": "mine", "row": "deep/a.png", "license": "CC0"}
    assert PHOTOS.records(PHOTOS.table([photo])) == [photo]


def test_a_photograph_that_lies_on_its_side_is_turned_upright(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the top of the scene is on the right
    scene = Image.open(SHIPPED / "coffee.png").convert("RGB")
    (tmp_path / "in").mkdir()
    scene.rotate(90, expand=True).save(tmp_path / "in" / "a.jpg", quality=95, exif=exif)
    [photo] = collected(Collect((Folder(str(tmp_path / "in")),), min_side=32)).values()
    stored = Image.open(io.BytesIO(photo.image.read()))
    assert stored.size == (photo.width, photo.height) == scene.size
    assert stored.getexif().get(0x0112, 1) == 1
    error = np.abs(np.asarray(stored, float) - np.asarray(scene, float)).mean()
    assert error < 6 < np.abs(np.asarray(stored, float) - np.asarray(scene.rotate(180), float)).mean()


def test_small_photographs_are_left_and_long_ones_shrunk(tmp_path: Path):
    save(tmp_path / "in" / "small.png", width=31, height=90)
    save(tmp_path / "in" / "long.png", width=200, height=100)
    [photo] = collected(Collect((Folder(str(tmp_path / "in")),), min_side=32, max_side=80)).values()
    assert (photo.photo_id, photo.width, photo.height) == ("in/long.png", 80, 40)
    assert photo.image.size() == (40, 80)


def test_one_in_a_hundred_broken_pictures_ends_in_quarantine_with_its_reason(tmp_path: Path):
    chance, broken = random.Random(0), {7, 133}
    for n in range(200):
        save(tmp_path / "in" / f"{n:03d}.png", seed=n)
    for n in broken:
        file = tmp_path / "in" / f"{n:03d}.png"
        file.write_bytes(file.read_bytes()[: chance.randint(100, 2000)] if n == 7 else b"")
    stage = Collect((Folder(str(tmp_path / "in")),), min_side=32, chunk_rows=64)
    built = Build(tmp_path / "work", (stage, Deduplicate())).run(stage.items())
    assert [s.quarantined for s in built.recipe.stages] == [2, 0]
    assert built.records is not None
    assert len(built.records) == 198
    lines = [
        json.loads(li) for f in tmp_path.rglob("*.quarantine.jsonl") for li in f.read_text().splitlines()
    ]
    reasons = {line["record"]: line["reason"] for line in lines}
    assert set(reasons) == {"in/007.png", "in/133.png"}
    assert reasons["in/007.png"].startswith("damaged picture")
    assert reasons["in/133.png"] == "zero bytes"


def test_a_picture_that_is_added_or_changed_makes_another_build(tmp_path: Path):
    save(tmp_path / "in" / "a.png")
    stage = Collect((Folder(str(tmp_path / "in")),), min_side=32)
    folders = {Build(tmp_path / "work", (stage,)).run(stage.items()).folder}
    save(tmp_path / "in" / "b.png", seed=1)
    folders.add(Build(tmp_path / "work", (stage,)).run(stage.items()).folder)
    save(tmp_path / "in" / "b.png", seed=1, width=64)
    folders.add(Build(tmp_path / "work", (stage,)).run(stage.items()).folder)
    assert len(folders) == 3


def test_folders_that_would_share_ids_are_refused(tmp_path: Path):
    for name in ("one/photos", "two/photos"):
        save(tmp_path / name / "a.png")
    folders = tuple(Folder(str(tmp_path / name)) for name in ("one/photos", "two/photos"))
    with pytest.raises(
        ValueError, match=r"'photos/a.png' is in 2 sources; give one of the folders another name"
    ):
        Collect(folders).items()


@pytest.mark.parametrize(
    ("path", "wanted"), [("nowhere", "expected a folder"), ("empty", "found no pictures")]
)
def test_a_folder_without_pictures_is_named(tmp_path: Path, path: str, wanted: str):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=f"collect.folders: {wanted}.*{path}"):
        Collect((Folder(str(tmp_path / path)),)).items()


def edits(path: Path, columns: dict[str, list]) -> str:
    """Write a data set whose columns of pictures are embedded."""
    kinds = {
        k: ImageFeature() if isinstance(v[0], Image.Image) else Value("string") for k, v in columns.items()
    }
    kinds |= {k: Value("float32") for k, v in columns.items() if isinstance(v[0], float)}
    path.parent.mkdir(parents=True, exist_ok=True)
    Dataset.from_dict(columns, features=Features(kinds)).to_parquet(str(path))
    return str(path)


def test_a_public_edit_data_set_is_read_as_it_is(tmp_path: Path):
    path = edits(
        tmp_path / "omni.parquet",
        {
            "omni_edit_id": ["x1", "x2"],
            "task": ["removal", "env"],
            "src_img": [noise(0), noise(1)],
            "edited_img": [noise(2), noise(3)],
            "edited_prompt_list": ["remove the cup ", "make it winter"],
            "o_score": [8.0, 2.0],
        },
    )
    photos = list(collected(Collect((), (EditDataset(path, "omniedit"),), min_side=32)).values())
    first, second = photos
    assert (first.photo_id, first.task, first.instruction) == (
        "OmniEdit/00000000",
        "object_removal",
        "remove the cup",
    )
    assert vars(first.provenance) == {"dataset": "OmniEdit", "row": "x1", "license": "MIT"}
    assert [(r.scorer, r.value) for r in first.ratings] == [("viescore", 4.0)]
    assert first.target is not None
    assert np.array_equal(np.asarray(first.target.decode()), np.asarray(noise(2)))
    # An edit that is none of the eight: its picture is taken as a mere photograph.
    assert (second.task, second.instruction, second.target, second.ratings) == (None, None, None, ())
    assert PHOTOS.records(PHOTOS.table(photos)) == photos


def test_edits_of_a_task_that_nobody_has_named_are_quarantined_and_counted(tmp_path: Path):
    tasks = ["Add", "Sing", "Counting", "Sing", "Remove", "Add"]
    columns = ("IMAGE_ID", "EDITING_TYPE", "EDITING_INSTRUCTION")
    pictures = {
        name: [noise(10 * i + n) for n in range(6)] for i, name in enumerate(("INPUT_IMG", "OUTPUT_IMG"))
    }
    path = edits(tmp_path / "h.parquet", dict.fromkeys(columns, tasks) | pictures)
    stage = Collect((), (EditDataset(path, "humanedit"),), min_side=32)
    built = Build(tmp_path / "work", (stage,)).run(stage.items())
    (summary,) = built.recipe.stages
    (reason,) = summary.reasons
    assert (summary.records_out, summary.quarantined, summary.reasons[reason]) == (4, 2, 2)
    assert "unknown task 'Sing' in HumanEdit" in reason


def test_a_user_adds_a_data_set_with_a_file(tmp_path: Path):
    save(tmp_path / "pics" / "0.png")
    rows = [{"before": "0.png", "say": {"en": ["blur it"]}, "points": None}]
    (tmp_path / "metadata.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (tmp_path / "mine.yaml").write_text(
        "dataset: mine\nsource: before\ninstruction: say.en\nevery_task: bokeh\n"
        "scores:\n  me: {column: points, low: 1, high: 5}\n"
    )
    source = EditDataset(
        str(tmp_path), str(tmp_path / "mine.yaml"), images=str(tmp_path / "pics"), license="mine"
    )
    [photo] = collected(Collect((), (source,), min_side=32)).values()
    assert (photo.task, photo.instruction, photo.ratings) == ("bokeh", "blur it", ())
    assert photo.provenance.license == "mine"


def test_a_column_that_is_missing_is_named_with_those_that_are_there(tmp_path: Path):
    path = edits(tmp_path / "a.parquet", {"source_img": [noise(0)], "instruction": ["x"]})
    with pytest.raises(
        ValueError, match=r"no column 'target_img', which magicbrush names; it has instruction, source"
    ):
        Collect((), (EditDataset(path, "magicbrush"),)).items()
