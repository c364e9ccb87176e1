"""Rated edits: their ratings are the exact ones, of the pictures as they are stored."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hpedit.images import from_pil
from hpedit.miniature.examples import example
from hpedit.miniature.judge_data import Hand, edited_cases, flawed_cases, flawed_edit
from hpedit.miniature.rating import rate


def pictures(case):
    source, target = (from_pil(p.decode()).numpy() for p in (case.source, case.target))
    return source, np.stack([from_pil(c.image.decode()).numpy() for c in case.candidates]), target


def test_the_ratings_are_those_of_the_stored_pictures():
    for case in flawed_cases(range(8), per_case=4):
        source, edits, target = pictures(case)
        found = rate(source[None], edits, target[None])
        by_dim = {d: [h.value for h in case.humans if h.dim == d] for d in ("overall", "followed", "intact")}
        assert by_dim["overall"] == pytest.approx(found.score)
        assert by_dim["followed"] == pytest.approx(5 * found.followed)
        assert by_dim["intact"] == pytest.approx(5 * (1 - found.damage))


def test_flaws_cover_the_whole_scale_and_equal_seeds_give_equal_cases():
    once, again = (list(flawed_cases(range(32), per_case=4, seed=3)) for _ in range(2))
    overall = [h.value for case in once for h in case.humans if h.dim == "overall"]
    assert min(np.histogram(overall, 5, (0, 5))[0]) >= 5
    assert [c.candidates for c in once] == [c.candidates for c in again]


def test_a_flawed_edit_is_a_picture():
    rng = np.random.default_rng(0)
    edits = np.stack([flawed_edit(example(i), rng) for i in range(24)])
    assert edits.dtype == np.float32
    assert 0 <= edits.min() <= edits.max() <= 1


def test_the_editor_edits_each_case_several_times_and_noise_makes_a_difference():
    hand = Hand(None)
    (case,) = edited_cases(hand, [0], per_case=2, shares=(0.0,), noisy=False)
    _, edits, _ = pictures(case)
    assert edits.shape == (2, 3, 64, 64)
    assert len(case.humans) == 6
    assert (edits[0] != edits[1]).any()
    (again,) = edited_cases(hand, [0], per_case=2, shares=(0.0,), noisy=False)
    assert torch.equal(torch.from_numpy(pictures(again)[1]), torch.from_numpy(edits))
