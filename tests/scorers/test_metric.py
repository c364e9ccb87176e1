"""HP-Score weighs tasks alike, whatever their number of cases."""

import math

import pytest
import torch

from hpedit.scorers.metric import HPScore
from hpedit.tasks import TASKS

NAN = float("nan")


def test_overall_is_the_mean_of_task_means_not_of_cases() -> None:
    metric = HPScore()
    metric.update(["bokeh", "bokeh", "bokeh", "relighting"], torch.tensor([5.0, 4.0, 3.0, 1.0]))
    result = metric.compute()
    assert result["bokeh"] == 4.0
    assert result["relighting"] == 1.0
    assert result["overall"] == 2.5  # over cases it would be 3.25
    assert set(result) == {"bokeh", "relighting", "overall", "failed_share"}


# Paper, Table 1 (HP-Edit) and Table S6: mean and number of cases of each task of RealPref-Bench.
PAPER = {
    "object_addition": (4.91, 232),
    "object_removal": (4.925, 227),
    "object_swapping": (4.781, 242),
    "background_replacement": (4.733, 191),
    "color_change": (4.75, 204),
    "bokeh": (4.545, 200),
    "relighting": (3.913, 150),
    "style_transfer": (4.776, 192),
}


def test_the_papers_overall_is_reproduced_from_its_cases() -> None:
    metric = HPScore()
    for task, (mean, count) in PAPER.items():
        metric.update([task] * count, torch.full((count,), mean))
    assert metric.compute()["overall"].item() == pytest.approx(
        4.667, abs=5e-4
    )  # over cases it would be 4.701


def test_missing_scores_are_counted_and_not_averaged() -> None:
    metric = HPScore()
    metric.update(["bokeh", "bokeh", "relighting", "relighting"], torch.tensor([2.0, NAN, NAN, NAN]))
    result = metric.compute()
    assert result["overall"] == 2.0
    assert "relighting" not in result
    assert result["failed_share"] == 0.75


def test_without_any_score_there_is_no_mean() -> None:
    metric = HPScore()
    metric.update(["bokeh"], torch.tensor([NAN]))
    assert math.isnan(metric.compute()["overall"])
    assert metric.compute()["failed_share"] == 1.0


def test_states_of_two_ranks_add_up_to_one_pass_over_all() -> None:
    tasks = [TASKS[i % 3] for i in range(20)]
    scores = torch.rand(20, generator=torch.Generator().manual_seed(0)) * 5
    scores[3] = NAN
    whole, first, second = HPScore(), HPScore(), HPScore()
    whole.update(tasks, scores)
    first.update(tasks[:13], scores[:13])
    second.update(tasks[13:], scores[13:])
    first.merge_state(second)
    merged, expected = first.compute(), whole.compute()
    assert merged.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(merged[name], value)


def test_reset_forgets() -> None:
    metric = HPScore()
    metric.update(["bokeh"], torch.tensor([5.0]))
    metric.reset()
    metric.update(["bokeh"], torch.tensor([1.0]))
    assert metric.compute()["bokeh"] == 1.0


def test_a_strange_task_is_named() -> None:
    with pytest.raises(ValueError, match="sharpening"):
        HPScore().update(["bokeh", "sharpening"], torch.zeros(2))


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="2 and 3"):
        HPScore().update(["bokeh", "bokeh"], torch.zeros(3))
