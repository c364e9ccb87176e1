"""The untrained judge: a chat is short, and its first layer compares pictures place by place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForImageTextToText

from hpedit.miniature.judge_data import flawed_cases
from hpedit.miniature.judge_model import GRID, PROMPTS, write_untrained_judge
from hpedit.miniature.judge_pretrain import Lessons, Pupil, measures
from hpedit.miniature.rating import MISS_SHARE
from hpedit.records import read_cases, write_cases
from hpedit.scorers.base import ScoreRequest
from hpedit.scorers.prompts import BASE, load_prompts, render
from hpedit.scorers.transformers_backend import chat_inputs, digit_logprobs

PLACES = GRID**2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_untrained_judge(tmp_path_factory.mktemp("judge"))


@pytest.fixture(scope="module")
def lessons(tmp_path_factory: pytest.TempPathFactory) -> Lessons:
    path = tmp_path_factory.mktemp("rated") / "flaws.parquet"
    write_cases(path, flawed_cases(range(8), per_case=3))
    return Lessons.of(read_cases(str(path)))


def asked(pupil: Pupil, requests: list[ScoreRequest]):
    return chat_inputs(pupil.processor, [render(load_prompts(PROMPTS)[BASE], r) for r in requests])


def test_each_place_of_b_looks_at_itself_and_at_the_same_place_of_a(folder: Path, lessons: Lessons):
    pupil = Pupil(folder)
    inputs = asked(pupil, lessons.requests)
    assert inputs["input_ids"].shape[1] < 2 * PLACES + 40, "a chat is short"
    model = AutoModelForImageTextToText.from_pretrained(folder, attn_implementation="eager")
    with torch.no_grad():
        weights = model(**inputs, output_attentions=True).attentions
    for row, ids in enumerate(inputs["input_ids"]):
        places = (ids == model.config.image_token_id).nonzero().flatten()
        a, b = places[:PLACES], places[PLACES:]
        for layer in (0, -2):
            assert weights[layer][row, 0, b, b].min() > 0.9
            assert weights[layer][row, 1, b, a].min() > 0.9
        corner = weights[-1][row, 0, -1][b].view(GRID, GRID)
        assert corner[:2, :2].sum() > 0.8


def test_edits_that_share_a_row_are_answered_as_in_chats_of_their_own(folder: Path, lessons: Lessons):
    pupil = Pupil(folder)
    alone = [
        replace(request, edit=edit)
        for request, edits in zip(lessons.requests, lessons.edits, strict=True)
        for edit in edits
    ]
    with torch.no_grad():
        together, imagined, measured = pupil(lessons.requests, lessons.edits)
        apart = digit_logprobs(pupil.vlm, asked(pupil, alone), pupil.digits)
    assert torch.allclose(together.flatten(0, 1), apart, atol=1e-4)
    assert imagined.shape == (8, PLACES, 48)
    assert measured.shape == (8, 3, PLACES, 3)


def test_the_measures_add_up_to_the_exact_rating_s_share_of_what_was_missed(lessons: Lessons, tmp_path: Path):
    parts = measures(lessons.source, lessons.target, lessons.edits).sum(dim=2)
    followed = 1 - ((parts[..., 1] / parts[..., 0] - MISS_SHARE) / (1 - MISS_SHARE)).clamp(0, 1)
    exact = [
        [h.value for h in case.humans if h.dim == "followed"] for case in flawed_cases(range(8), per_case=3)
    ]
    assert (5 * followed).tolist() == [pytest.approx(row, abs=1e-3) for row in exact]
