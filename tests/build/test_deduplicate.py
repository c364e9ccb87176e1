"""Of pictures that are the same or look alike one stays, and none that is held out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hpedit.build.deduplicate import Deduplicate, held_out_pictures, judge
from hpedit.build.hamming import HammingIndex
from hpedit.build.hashing import perceptual_hash, pixel_hash
from hpedit.build.photo import PHOTO_FEATURES
from tests.support.photos import write_photo_dataset

# Hashes that often lie close together: a few centres with a few bits flipped.
CODES = st.lists(
    st.builds(
        lambda centre, flips: centre ^ sum(1 << bit for bit in flips),
        st.sampled_from([0, (1 << 64) - 1, 0xF0F0F0F0F0F0F0F0]),
        st.sets(st.integers(0, 63), max_size=6),
    ),
    max_size=20,
)
DISTANCE = st.integers(0, 12)


def apart(a: int, b: int) -> int:
    return bin(a ^ b).count("1")


def row(code: int, pixels: str = "", area: int = 1, instruction: str | None = None) -> dict:
    return {
        "sha256": pixels or f"{code:x}",
        "phash": code,
        "width": area,
        "height": 1,
        "instruction": instruction,
    }


@given(CODES, st.integers(0, 2**64 - 1), st.integers(0, 63))
def test_the_index_finds_what_comparing_all_pairs_finds(codes: list[int], code: int, radius: int):
    index = HammingIndex(radius)
    for other in codes:
        index.add(other)
    for wanted in [code, *codes]:
        assert set(index.near(wanted)) == {other for other in codes if apart(other, wanted) <= radius}


@given(CODES, CODES, DISTANCE)
def test_what_stays_is_apart_and_what_goes_is_near_something(
    codes: list[int], held: list[int], distance: int
):
    verdicts = dict(judge([row(code) for code in codes], held, distance))
    assert sorted(verdicts) == list(range(len(codes)))
    kept = [codes[i] for i, verdict in verdicts.items() if verdict == "kept"]
    assert all(apart(a, b) > distance for n, a in enumerate(kept) for b in kept[:n])
    assert all(apart(a, b) > distance for a in kept for b in held)
    for i, verdict in verdicts.items():
        if verdict != "kept":
            others = held if verdict == "held_out" else kept
            assert any(apart(codes[i], other) <= distance for other in others)


@given(CODES, DISTANCE)
def test_doing_it_twice_changes_nothing(codes: list[int], distance: int):
    def once(rows: list[dict]) -> list[dict]:
        return [rows[i] for i, verdict in judge(rows, (), distance) if verdict == "kept"]

    stays = once([row(code) for code in codes])
    assert once(stays) == stays


def test_the_largest_of_alike_pictures_stays():
    verdicts = dict(judge([row(0b1, area=10), row(0b11, area=30), row(0b111, area=30)], (), 4))
    assert verdicts == {0: "alike", 1: "kept", 2: "alike"}


def test_edits_of_one_photograph_stay_unless_their_instructions_are_the_same():
    rows = [row(7, instruction=text) for text in ("add a cat", "add a dog", "add a cat", None, None)]
    verdicts = dict(judge(rows, (), 4))
    assert [verdicts[i] for i in range(5)] == ["kept", "kept", "same", "kept", "same"]


def test_without_a_distance_only_equal_pixels_are_the_same():
    rows = [row(1, "a"), row(1, "b"), row(1, "a")]
    assert dict(judge(rows, (), None)) == {0: "kept", 1: "kept", 2: "same"}


def test_photographs_are_recognised_shrunk_and_saved_anew_and_told_apart(tmp_path: Path):
    shipped = sorted(
        p for p in (write_photo_dataset(tmp_path).folder).iterdir() if p.suffix in (".png", ".jpg")
    )
    codes = []
    for path in shipped:
        image = Image.open(path).convert("RGB")
        small = image.resize((image.width // 2, image.height // 2))
        small.save(tmp_path / "small.jpg", quality=70)
        again = Image.open(tmp_path / "small.jpg")
        assert apart(perceptual_hash(image), perceptual_hash(again)) <= 4
        assert pixel_hash(image) != pixel_hash(again.convert("RGB"))
        codes.append(perceptual_hash(image))
    assert all(apart(a, b) > 12 for n, a in enumerate(codes) for b in codes[:n])


def test_equal_pixels_have_equal_hashes_in_any_file_and_shape_counts(tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    for name in ("a.png", "a.bmp"):
        Image.fromarray(pixels).save(tmp_path / name)
    png, bmp = (Image.open(tmp_path / name).convert("RGB") for name in ("a.png", "a.bmp"))
    assert pixel_hash(png) == pixel_hash(bmp)
    assert pixel_hash(png) != pixel_hash(Image.frombytes("RGB", (24, 32), png.tobytes()))


def test_pictures_of_a_benchmark_are_left_out_from_a_folder_or_a_data_set(tmp_path: Path):
    dataset = write_photo_dataset(tmp_path)
    codes = [perceptual_hash(p.decode()) for p in held_out_pictures(str(dataset.folder))]
    schema = PHOTO_FEATURES.arrow_schema.remove_metadata()
    table = pa.Table.from_pylist([row(code) for code in [*codes, 12345]], schema=schema)
    for path in (dataset.folder, dataset.parquet):
        kept = Deduplicate(held_out=(str(path),)).keep(table)
        assert kept.rows == [len(codes)]
        assert kept.notes == {"held_out": len(codes), "kept": 1}


def test_a_benchmark_without_pictures_is_an_error(tmp_path: Path):
    with pytest.raises(ValueError, match=r"deduplicate\.held_out"):
        list(held_out_pictures(str(tmp_path)))
