"""The exact rating says what a person would: 0 unchanged, about 3 followed but poor, 5 clean."""

import numpy as np
import pytest

from hpedit.miniature.drawing import to_uint8
from hpedit.miniature.examples import HELD_OUT, Example, example
from hpedit.miniature.flaws import FLAWS
from hpedit.miniature.rating import rate
from hpedit.tasks import TASKS

PER_TASK = 6
SEVERITIES = np.linspace(0, 1, 9)


def examples_of(task: str) -> list[Example]:
    first = HELD_OUT + TASKS.index(task)
    return [example(first + n * len(TASKS)) for n in range(PER_TASK)]


def score(case: Example, edit: np.ndarray) -> float:
    return float(rate(case.source, edit, case.target).score)


@pytest.mark.parametrize("task", TASKS)
def test_the_exact_edit_rates_5_and_the_unchanged_picture_0(task):
    for case in examples_of(task):
        assert score(case, case.target) == 5
        assert score(case, case.source) == 0


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("flaw", FLAWS)
def test_a_worse_flaw_never_rates_higher(flaw, task):
    spoil, _ = FLAWS[flaw]
    for case in examples_of(task):
        scores = [score(case, spoil(case, float(s))) for s in SEVERITIES]
        # A hundredth of a point: where a picture is all but flat, blurring it more can bring it nearer by chance.
        assert np.all(np.diff(scores) <= 0.01), (flaw, case.number, scores)


@pytest.mark.parametrize(
    ("flaw", "low", "high"),
    [("ghost", 1, 2), ("not_applied", 0, 0.01), ("spill", 2.5, 4.5), ("tint", 0.5, 1.7), ("soften", 2.5, 4)],
)
def test_a_full_flaw_costs_what_it_is_worth(flaw, low, high):
    spoil, _ = FLAWS[flaw]
    scores = [score(case, spoil(case, 1.0)) for task in TASKS for case in examples_of(task)]
    assert low <= np.mean(scores) <= high


@pytest.mark.parametrize("task", TASKS)
def test_an_edit_that_was_not_made_rates_near_0(task):
    spoil, _ = FLAWS["not_applied"]
    assert max(score(case, spoil(case, 0.7)) for case in examples_of(task)) < 1


@pytest.mark.parametrize("task", TASKS)
def test_half_an_edit_rates_in_the_middle(task):
    halves = [score(case, (case.source + case.target) / 2) for case in examples_of(task)]
    assert 2 < np.mean(halves) < 4.4


@pytest.mark.parametrize("task", TASKS)
def test_another_edit_of_the_same_task_rates_low(task):
    wrong = np.mean([score(case, case.wrong) for case in examples_of(task)])
    # Bokeh on the wrong subject still blurs most of what should be blurred.
    assert wrong < (3.2 if task == "bokeh" else 1.5)


def test_following_and_preserving_are_told_apart():
    case = examples_of("object_addition")[0]
    touched = np.abs(case.target - case.source).max(axis=0, keepdims=True) > 0
    only_followed = np.where(touched, case.target, 1 - case.target)
    only_preserved = np.where(touched, case.source, case.target)
    followed, preserved = (rate(case.source, e, case.target) for e in (only_followed, only_preserved))
    assert followed.followed == 1
    assert followed.damage == 1
    assert 1 < followed.score < 3
    assert preserved.followed == 0
    assert preserved.damage == 0
    assert preserved.score == 0


def test_the_rating_is_continuous():
    case = examples_of("relighting")[0]
    path = [score(case, case.source + a * (case.target - case.source)) for a in np.linspace(0, 1, 201)]
    assert np.abs(np.diff(path)).max() < 0.1


def test_noise_that_nobody_sees_costs_nothing():
    rng = np.random.default_rng(0)
    for case in examples_of("style_transfer"):
        noisy = case.target + rng.uniform(-0.04, 0.04, case.target.shape).astype(np.float32)
        assert score(case, noisy) > 4.95


def test_8_bit_pictures_rate_like_real_valued_ones_and_many_like_one():
    cases = examples_of("color_change")
    stacks = [np.stack(p) for p in zip(*((c.source, c.wrong, c.target) for c in cases), strict=True)]
    scores = rate(*stacks).score
    assert scores.shape == (PER_TASK,)
    assert np.allclose(scores, [score(c, c.wrong) for c in cases])
    assert np.allclose(scores, rate(*(to_uint8(p) for p in stacks)).score, atol=0.05)
