"""The base editor makes candidates: the same ones however often a build is killed."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from hpedit.build.edit import Edit, batches
from hpedit.build.fingerprint import fingerprint
from hpedit.build.stage import Failure, MapStage
from hpedit.cases import Candidate, Case
from hpedit.editors.qwen_image_edit_plus import QwenImageEditPlusEditor
from hpedit.pictures import Picture
from hpedit.sampling import EvalSettings
from tests.support.cases import SQUARE, TALL, WIDE, flat, grey_case, torn
from tests.support.goal_editor import GoalEditor


def stage(samples: int = 2, **changes) -> Edit:
    editor = QwenImageEditPlusEditor("miniature", "float32", reference_area=4096, condition_area=784)
    sampling = EvalSettings(num_steps=2, samples_per_case=samples, seed=7)
    return replace(Edit(editor, sampling, resolution=64, device="cpu"), **changes)


def edited(outcomes) -> list[Case]:
    assert not any(isinstance(o, Failure) for o in outcomes), outcomes
    return [case for outcome in outcomes for case in outcome]


def levels(candidate: Candidate) -> np.ndarray:
    return np.asarray(candidate.image.decode(), dtype=int)


CASES = [grey_case(1, WIDE), grey_case(2, TALL), grey_case(3, WIDE), grey_case(4, SQUARE)]


@pytest.fixture(scope="module")
def made() -> list[Case]:
    return edited(stage().open()(CASES))


def test_every_case_gets_its_candidates_with_all_that_is_needed_to_make_them_again(made: list[Case]):
    assert [case.case_id for case in made] == [case.case_id for case in CASES]
    for case in made:
        assert [c.cand_id for c in case.candidates] == [f"{case.case_id}-0", f"{case.case_id}-1"]
        for number, candidate in enumerate(case.candidates):
            params = json.loads(candidate.params)
            assert (candidate.seed, params["sample"], params["num_steps"]) == (7, number, 2)
            assert levels(candidate).shape == (params["height"], params["width"], 3)
            assert candidate.model
        first, second = map(levels, case.candidates)
        assert np.abs(first - second).mean() > 1


def test_edits_keep_the_shape_of_their_photograph(made: list[Case]):
    shapes = [levels(case.candidates[0]).shape[:2] for case in made]
    assert shapes[0] == shapes[2] == shapes[1][::-1]
    assert shapes[0][1] / shapes[0][0] == pytest.approx(1.5, rel=0.15)
    assert shapes[3] == (64, 64)


def test_a_restarted_worker_makes_the_same_pictures(made: list[Case]):
    again = edited(stage().open()(CASES))
    assert [[c.image.read() for c in case.candidates] for case in again] == [
        [c.image.read() for c in case.candidates] for case in made
    ]


def test_a_picture_hardly_depends_on_what_it_is_batched_with(made: list[Case]):
    alone = edited(stage(edits_at_once=1).open()(CASES[2:3]))[0]
    for one, other in zip(alone.candidates, made[2].candidates, strict=True):
        assert np.abs(levels(one) - levels(other)).max() <= 1


def test_a_damaged_photograph_costs_itself_alone(made: list[Case]):
    broken = replace(grey_case(9), source=torn())
    outcomes = stage().open()([CASES[0], broken, CASES[1]])
    assert isinstance(outcomes[1], Failure)
    assert "damaged picture" in outcomes[1].reason
    whole = edited([outcomes[0], outcomes[2]])
    assert [levels(c.candidates[0]).shape for c in whole] == [levels(c.candidates[0]).shape for c in made[:2]]


def test_candidates_that_were_there_stay(made: list[Case]):
    known = replace(CASES[0], candidates=(Candidate("old", flat(1)),))
    assert [c.cand_id for c in edited(stage().open()([known]))[0].candidates] == [
        "old",
        "case-1-0",
        "case-1-1",
    ]


@dataclass
class Overflows(GoalEditor):
    """Paints NaN where the source is bright."""

    def decode(self, x_0: Tensor, size: tuple[int, int]) -> Tensor:
        goal = x_0.mean(dim=(1, 2))
        painted = torch.where(goal > 0.5, torch.nan, goal)
        return painted[:, None, None, None].expand(-1, 3, *size)


def test_an_edit_that_is_no_picture_fails_its_case_alone():
    cases = [grey_case(200, SQUARE), grey_case(10, SQUARE)]
    settings = Edit(Overflows(), EvalSettings(num_steps=1), resolution=8, device="cpu")
    bad, good = settings.open()(cases)
    assert bad == Failure("the edit holds NaN or infinity")
    assert levels(edited([good])[0].candidates[0]).max() == 10


def test_the_stage_keeps_no_weights():
    settings = stage()
    settings.open()
    with pytest.raises(RuntimeError, match="not loaded"):
        _ = settings.editor.transformer


def test_what_changes_pictures_changes_the_fingerprint_and_what_changes_speed_does_not():
    assert isinstance(stage(), MapStage)
    first = fingerprint(stage())
    assert fingerprint(stage(edits_at_once=2, device=None)) == first
    assert fingerprint(stage(samples=3)) != first
    assert fingerprint(stage(resolution=32)) != first


@given(
    st.dictionaries(st.integers(), st.tuples(st.sampled_from(["1:1", "3:2"])), max_size=40),
    st.integers(1, 9),
)
def test_batches_hold_every_case_once_and_one_shape_each(aspects, size):
    cut = list(batches(aspects, size))
    assert sorted(key for batch in cut for key in batch) == sorted(aspects)
    assert all(len(batch) <= size and len({aspects[key] for key in batch}) == 1 for batch in cut)
    for shape in set(aspects.values()):
        count = sum(s == shape for s in aspects.values())
        assert sum(aspects[batch[0]] == shape for batch in cut) == -(-count // size)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"resolution": 8}, "resolution: expected at least size_multiple 16, got 8"),
        ({"edits_at_once": 0}, "edits_at_once >= 1, got 2 and 0"),
        ({"buckets": ("4/3",)}, "buckets: .* got '4/3'"),
    ],
)
def test_settings_that_cannot_be_are_named(changes, words):
    with pytest.raises(ValueError, match=words):
        stage(**changes)


def test_jpeg_sources_are_edited_as_png_ones(made: list[Case]):
    buffer = io.BytesIO()
    CASES[3].source.decode().save(buffer, "JPEG", quality=100)
    jpeg = edited(stage().open()([replace(CASES[3], source=Picture(buffer.getvalue()))]))[0]
    assert np.abs(levels(jpeg.candidates[0]) - levels(made[3].candidates[0])).mean() < 8
    assert Image.open(io.BytesIO(jpeg.candidates[0].image.read())).format == "PNG"
