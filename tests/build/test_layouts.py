"""Layouts of public photo sets are recognised; of any other folder everything is taken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hpedit.build.layouts import Found, find_pictures


def make(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def keys(root: Path) -> list[str]:
    return [f.key for f in find_pictures(root)]


def test_any_folder_is_searched_to_any_depth_for_pictures_only(tmp_path: Path):
    make(tmp_path, "b.JPG", "a/c.webp", "a/readme.txt", ".hidden.png")
    assert find_pictures(tmp_path) == [Found("a/c.webp", "a/c.webp"), Found("b.JPG", "b.JPG")]


def test_div2k_without_its_shrunken_copies(tmp_path: Path):
    names = ("DIV2K_train_HR/0001.png", "DIV2K_valid_HR/0801.png")
    make(tmp_path, *names, "DIV2K_train_LR_bicubic/X2/0001x2.png")
    assert keys(tmp_path) == list(names)
    assert {(f.dataset, "research" in f.license) for f in find_pictures(tmp_path)} == {("DIV2K", True)}
    assert keys(tmp_path / "DIV2K_train_HR") == ["0001.png"]


def test_lsdir_without_its_shrunken_copies(tmp_path: Path):
    make(tmp_path, "HR/train/0001000/0000001.png", "X4/train/0001000/0000001x4.png")
    assert [(f.key, f.dataset) for f in find_pictures(tmp_path)] == [
        ("HR/train/0001000/0000001.png", "LSDIR")
    ]
    make(tmp_path / "LSDIR", "shard/7.png")
    assert [f.dataset for f in find_pictures(tmp_path / "LSDIR")] == ["LSDIR"]


def test_coco_with_the_categories_and_licence_of_each_picture(tmp_path: Path):
    make(tmp_path, "val2017/000000000001.jpg", "val2017/000000000002.jpg", "test2017/000000000003.jpg")
    instances = {
        "licenses": [{"id": 4, "name": "Attribution License"}],
        "categories": [{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}],
        "images": [
            {"id": 1, "file_name": "000000000001.jpg", "license": 4},
            {"id": 2, "file_name": "000000000002.jpg"},
        ],
        "annotations": [{"image_id": 1, "category_id": c} for c in (18, 1, 18)],
    }
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "instances_val2017.json").write_text(json.dumps(instances))
    found = {f.key: f for f in find_pictures(tmp_path)}
    dog = found["val2017/000000000001.jpg"]
    assert (dog.categories, dog.license, dog.dataset) == (("dog", "person"), "Attribution License", "COCO")
    assert found["val2017/000000000002.jpg"].categories == ()
    assert found["test2017/000000000003.jpg"].dataset == "COCO"


def test_instances_that_are_none_are_named(tmp_path: Path):
    make(tmp_path, "a.jpg", "annotations/instances_x.json")
    with pytest.raises(ValueError, match=r"instances_x.json is no COCO instances file"):
        find_pictures(tmp_path)


def test_pixabay_takes_the_largest_copy_of_each_picture(tmp_path: Path):
    make(tmp_path, "tree-736885_640.jpg", "a/tree-736885_1280.jpg", "old-house-12345_640.jpg")
    found = [(f.key, f.row, f.dataset) for f in find_pictures(tmp_path)]
    assert found == [
        ("a/tree-736885_1280.jpg", "736885", "Pixabay"),
        ("old-house-12345_640.jpg", "12345", "Pixabay"),
    ]
    make(tmp_path, "holiday.jpg")
    assert len(keys(tmp_path)) == 4
