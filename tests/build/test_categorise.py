"""Categories by CLIP, against cosines taken by hand from the features of the same tiny model."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPModel, CLIPProcessor

from hpedit.build.categorise import Categorise, named
from hpedit.build.coco import COCO_CATEGORIES
from hpedit.build.photo import Photo
from hpedit.build.stage import Failure, Workers
from hpedit.pictures import Picture
from tests.support.tiny_clip import make_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip"))


def picture(seed: int, width: int = 48, height: int = 40) -> Picture:
    noise = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).resize((width, height)).save(out, "PNG")
    return Picture(out.getvalue())


def photo(seed: int, categories: tuple[str, ...] = ()) -> Photo:
    return Photo(f"photo-{seed}", picture(seed), 48, 40, "", 0, categories=categories)


def cosines_by_hand(folder: Path, photos: Sequence[Photo]) -> torch.Tensor:
    model, processor = CLIPModel.from_pretrained(folder), CLIPProcessor.from_pretrained(folder)
    rows = []
    with torch.no_grad():
        words = [f"a photo of a {name}" for name in COCO_CATEGORIES]
        # One by one: no padding, no batch.
        texts = [processor(text=[w], return_tensors="pt") for w in words]
        text = torch.cat([model.get_text_features(**t).pooler_output for t in texts])
        for p in photos:
            seen = model.get_image_features(
                **processor(images=[p.image.decode()], return_tensors="pt")
            ).pooler_output
            rows.append((text @ seen[0]) / (text.norm(dim=1) * seen.norm()))
    return torch.stack(rows)


def test_categories_are_those_of_the_highest_cosines(clip: Path):
    photos = [photo(i) for i in range(7)]
    values = cosines_by_hand(clip, photos)
    threshold = float(values.median())
    stage = Categorise(str(clip), threshold=threshold + 1e-6, device="cpu")
    for row, outcome in zip(values, stage.open()(photos), strict=True):
        assert not isinstance(outcome, Failure)
        [got] = outcome
        assert got.categories[0] == COCO_CATEGORIES[int(row.argmax())]
        expected = {n for n, v in zip(COCO_CATEGORIES, row.tolist(), strict=True) if v >= threshold + 1e-6}
        assert set(got.categories) == expected | {got.categories[0]}
        order = [row[COCO_CATEGORIES.index(n)].item() for n in got.categories]
        assert order == pytest.approx(sorted(order, reverse=True), abs=1e-5)


def test_batches_change_nothing(clip: Path):
    photos = [photo(i) for i in range(5)]
    work = Categorise(str(clip), threshold=0.0, device="cpu").open()
    assert work(photos) == [outcome for p in photos for outcome in work([p])]


def test_a_damaged_picture_fails_alone(clip: Path):
    bad = Photo("bad", Picture(b"no picture"), 8, 8, "", 0)
    work = Categorise(str(clip), device="cpu").open()
    first, failed, second = work([photo(0), bad, photo(1)])
    assert isinstance(failed, Failure)
    assert "damaged picture" in failed.reason
    assert [first, second] == work([photo(0), photo(1)])
    assert isinstance(work([bad])[0], Failure)


def test_what_the_data_set_names_is_kept_and_put_in_order(clip: Path):
    known = ("dog", "zebra", "oven", "unicorn")
    [row] = cosines_by_hand(clip, [photo(3)])
    outcome = Categorise(str(clip), threshold=-1.0, device="cpu").open()([photo(3, known)])[0]
    assert not isinstance(outcome, Failure)
    by_hand = sorted(known[:3], key=lambda name: -row[COCO_CATEGORIES.index(name)])
    assert outcome[0].categories == (*by_hand, "unicorn")


def test_the_best_match_is_named_below_the_threshold_too():
    values = torch.linspace(-0.5, 0.1, 80)
    assert named(values, (), threshold=0.9) == ("toothbrush",)
    assert named(values, (), threshold=float(values[77])) == ("toothbrush", "hair drier", "teddy bear")


def test_there_are_eighty_categories():
    assert len(set(COCO_CATEGORIES)) == len(COCO_CATEGORIES) == 80


def test_a_model_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(ValueError, match=r"categorise\.model: cannot load a CLIP from"):
        Categorise(str(tmp_path)).check()


@pytest.mark.parametrize(
    ("wrong", "words"), [({"threshold": 2.0}, "threshold.*got 2.0"), ({"template": "a dog"}, "one {}")]
)
def test_impossible_settings_are_named(wrong: dict, words: str):
    with pytest.raises(ValueError, match=words):
        Categorise(workers=Workers(), **wrong)
