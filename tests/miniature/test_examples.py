"""Examples are pure functions of their number, and training never sees a held-out edit."""

import numpy as np
import pytest

from hpedit.miniature.examples import HELD_OUT, example
from hpedit.tasks import TASKS


def test_the_same_number_gives_the_same_example():
    one, two = example(12345), example(12345)
    assert one.instruction == two.instruction
    assert one.edit == two.edit
    for name in ("source", "target", "wrong"):
        assert np.array_equal(getattr(one, name), getattr(two, name))


def test_another_number_gives_another_example():
    assert len({(e.instruction, e.source.tobytes()) for e in map(example, range(0, 400, 8))}) > 45


def test_eight_numbers_in_a_row_are_the_eight_tasks():
    assert tuple(example(HELD_OUT + n).task for n in range(8)) == TASKS


def test_no_edit_of_a_scene_is_both_in_training_and_held_out():
    train = {(e.edit.before, e.edit.after) for e in map(example, range(4000))}
    held_out = {(e.edit.before, e.edit.after) for e in map(example, range(HELD_OUT, HELD_OUT + 1000))}
    assert not train & held_out
    # The world is small enough for them to meet by chance, were they not kept apart.
    assert len(train) < 4000


@pytest.mark.parametrize("number", range(HELD_OUT, HELD_OUT + 32))
def test_pictures_are_64_by_64_in_the_unit_range_and_the_edit_shows(number):
    case = example(number)
    for picture in (case.source, case.target, case.wrong):
        assert picture.shape == (3, 64, 64)
        assert picture.dtype == np.float32
        assert picture.min() >= 0
        assert picture.max() <= 1
    assert np.abs(case.target - case.source).max() > 0.1
    assert np.abs(case.target - case.wrong).max() > 0.1


def test_the_instruction_determines_the_edited_picture():
    targets: dict[tuple[str, bytes], bytes] = {}
    for case in map(example, range(6000)):
        key = (case.instruction, case.source.tobytes())
        assert targets.setdefault(key, case.target.tobytes()) == case.target.tobytes(), case.instruction
