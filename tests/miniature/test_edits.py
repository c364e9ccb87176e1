"""Each task changes what it names and leaves the rest alone, to the last pixel."""

import numpy as np
import pytest

from hpedit.miniature.drawing import shape_mask
from hpedit.miniature.edits import propose
from hpedit.miniature.scenes import PLACES, RADIUS, Item, render
from hpedit.tasks import TASKS


def inside_of(item: Item) -> np.ndarray:
    """Return the pixels that ``item`` covers fully, (64, 64) bool."""
    return shape_mask(item.shape, *PLACES[item.place], RADIUS) == 1


LOCAL = ("object_addition", "object_removal", "object_swapping", "color_change")


@pytest.mark.parametrize("task", LOCAL)
def test_local_edits_touch_one_quarter_of_the_picture(task):
    for seed in range(20):
        edit = propose(task, np.random.default_rng(seed))
        changed = np.abs(render(edit.after) - render(edit.before)).max(axis=0) > 0
        quarters = changed.reshape(2, 32, 2, 32).any(axis=(1, 3))
        assert quarters.sum() == 1
        assert changed.sum() < (2 * RADIUS + 2) ** 2


def test_addition_and_removal_undo_each_other():
    edit = propose("object_removal", np.random.default_rng(3))
    gone = set(edit.before.scene.items) - set(edit.after.scene.items)
    assert [item.name for item in gone] == [edit.words["item"]]
    assert set(edit.after.scene.items) < set(edit.before.scene.items)


def test_background_replacement_keeps_every_object_pixel():
    edit = propose("background_replacement", np.random.default_rng(1))
    before, after = render(edit.before), render(edit.after)
    for item in edit.before.scene.items:
        where = inside_of(item)
        assert np.allclose(before[:, where], after[:, where], atol=1e-6)


def test_color_change_keeps_the_shape_and_its_place():
    edit = propose("color_change", np.random.default_rng(2))
    before, after = edit.before.scene.items, edit.after.scene.items
    assert [(i.shape, i.place) for i in before] == [(i.shape, i.place) for i in after]
    assert [i.colour for i in before] != [i.colour for i in after]
    assert edit.words["colour"] in {i.colour for i in after}


def test_bokeh_keeps_the_subject_sharp_and_smooths_the_rest():
    edit = propose("bokeh", np.random.default_rng(4))
    before, after = render(edit.before), render(edit.after)
    assert edit.after.focus is not None
    inside = inside_of(edit.after.focus)
    assert np.allclose(before[:, inside], after[:, inside], atol=1e-6)
    roughness = [np.abs(np.diff(p, axis=-1)).mean() for p in (before, after)]
    assert roughness[1] < 0.6 * roughness[0]


def test_relighting_is_brightest_at_the_named_side():
    sides = {
        "left": np.s_[:, :, :16],
        "right": np.s_[:, :, 48:],
        "top": np.s_[:, :16],
        "bottom": np.s_[:, 48:],
    }
    for seed in range(12):
        edit = propose("relighting", np.random.default_rng(seed))
        gain = render(edit.after) / np.maximum(render(edit.before), 0.02)
        means = {side: gain[where].mean() for side, where in sides.items()}
        assert max(means, key=lambda side: means[side]) == edit.words["side"]


@pytest.mark.parametrize("task", TASKS)
def test_the_words_are_all_the_instruction_needs(task):
    by_words: dict[tuple, set] = {}
    for seed in range(200):
        edit = propose(task, np.random.default_rng(seed))
        by_words.setdefault((edit.before, *sorted(edit.words.items())), set()).add(edit.after)
    assert all(len(results) == 1 for results in by_words.values())
