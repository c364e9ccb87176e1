"""Near misses: mixtures of pictures that get one thing of the edit wrong, over the whole scale of ratings."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hpedit.miniature.examples import example
from hpedit.miniature.near_misses import mistake, near_miss
from hpedit.miniature.rating import rate
from hpedit.miniature.scenes import render


@settings(max_examples=40, deadline=None)
@given(number=st.integers(0, 10_000), seed=st.integers(0, 10_000))
def test_a_near_miss_is_a_mixture_of_pictures(number: int, seed: int):
    picture = near_miss(example(number), np.random.default_rng(seed))
    assert picture.shape == (3, 64, 64)
    assert picture.min() > -1e-5
    assert picture.max() < 1 + 1e-5


@settings(max_examples=40, deadline=None)
@given(number=st.integers(0, 10_000), seed=st.integers(0, 10_000))
def test_a_mistaken_view_can_be_painted_and_mistaken_again(number: int, seed: int):
    edit, rng = example(number).edit, np.random.default_rng(seed)
    view = edit.after
    for _ in range(4):
        view = mistake(view, edit.before, rng)
        places = [item.place for item in view.scene.items]
        assert len(places) == len(set(places)), "one item a place"
        assert view.focus is None or view.focus in view.scene.items
        assert render(view).shape == (3, 64, 64)


def test_the_wrong_shape_comes_in_the_right_colour_and_place():
    edit, rng = example(0).edit, np.random.default_rng(0)
    assert edit.task == "object_addition"
    added = edit.after.scene.items[-1]
    drawn = [item for _ in range(200) for item in mistake(edit.after, edit.before, rng).scene.items]
    alike = [
        i for i in drawn if (i.colour, i.place) == (added.colour, added.place) and i.shape != added.shape
    ]
    assert len(alike) >= 20


def test_ratings_of_near_misses_cover_the_scale():
    rng, found = np.random.default_rng(0), []
    for drawn in map(example, range(64)):
        edits = np.stack([near_miss(drawn, rng) for _ in range(3)]).clip(0, 1)
        found += rate(drawn.source[None], edits, drawn.target[None]).score.tolist()
    assert min(np.histogram(found, 5, (0, 5))[0]) >= 12
