"""Figures of a round describe all its edits, on any number of ranks."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from hpedit.scorers.base import Score
from hpedit.scorers.figures import p95, score_figures
from hpedit.scorers.pool import Call, Scored
from hpedit.scorers.reward import hp_reward

NAN = math.nan


def round_of(values: list[float], tasks: list[str], unchanged: int = 0) -> tuple[Scored, torch.Tensor]:
    scores = [
        Score(v, (0.0, 0.0, 0.0, 0.5, 0.5, 0.0), 0.8, "down" if math.isnan(v) else None) for v in values
    ]
    calls = {"judge": [Call([i], [s], queued=0.1 * i, took=0.2 + i) for i, s in enumerate(scores)]}
    scored = Scored([f"c{i}" for i in range(len(values))], tasks, values, {"judge": scores}, calls, unchanged)
    return scored, hp_reward(torch.tensor(values, dtype=torch.float64))


def alone(sums: torch.Tensor) -> torch.Tensor:
    return sums


VALUES, TASKS = [1.0, NAN, 3.0, 4.5, 2.0], ["bokeh", "bokeh", "relighting", "relighting", "bokeh"]


def test_means_and_spreads_run_over_what_could_be_had() -> None:
    figures = score_figures(*round_of(VALUES, TASKS, unchanged=1), alone)
    had = np.array([1.0, 3.0, 4.5, 2.0])
    reward = 1 / (1 + np.exp(-(2 * had - 5)))
    assert figures["score/mean"] == pytest.approx(had.mean())
    assert figures["score/std"] == pytest.approx(had.std())
    assert figures["reward/mean"] == pytest.approx(reward.mean())
    assert figures["reward/std"] == pytest.approx(reward.std())
    assert figures["score/bokeh"] == pytest.approx(1.5)
    assert figures["score_std/bokeh"] == pytest.approx(0.5)
    assert figures["reward_mean/relighting"] == pytest.approx(reward[1:3].mean())
    assert figures["reward_std/relighting"] == pytest.approx(reward[1:3].std())
    assert figures["score/relighting"] == pytest.approx(3.75)
    assert figures["reward/failed_share"] == pytest.approx(0.2)
    assert figures["reward/unchanged_share"] == pytest.approx(0.2)


def test_each_scorer_has_figures_of_its_own() -> None:
    figures = score_figures(*round_of(VALUES, TASKS), alone)
    assert figures["scorer/judge/score"] == pytest.approx(2.625)
    assert figures["scorer/judge/failed_share"] == pytest.approx(0.2)
    assert figures["scorer/judge/mass"] == pytest.approx(0.8)
    assert figures["scorer/judge/entropy"] == pytest.approx(math.log(2))
    assert figures["scorer/judge/latency"] == pytest.approx(2.2)
    assert figures["scorer/judge/latency_p95"] == pytest.approx(4.2)
    assert figures["scorer/judge/queue_wait"] == pytest.approx(0.2)


def test_the_share_that_a_cache_had_is_told_of_scorers_that_have_one() -> None:
    scored, reward = round_of([1.0, 2.0, 3.0, 4.0], ["bokeh"] * 4)
    assert "scorer/judge/cache_hit_share" not in score_figures(scored, reward, alone)
    hits = [True, False, False, False]
    scored.by_scorer["judge"] = [
        replace(score, cached=hit) for score, hit in zip(scored.by_scorer["judge"], hits, strict=True)
    ]
    assert score_figures(scored, reward, alone)["scorer/judge/cache_hit_share"] == 0.25
    twice = score_figures(scored, reward, lambda sums: 2 * sums)  # another rank with the same
    assert twice["scorer/judge/cache_hit_share"] == 0.25


def test_two_ranks_see_the_figures_of_the_joined_round() -> None:
    whole = score_figures(*round_of(VALUES, TASKS), alone)
    sent: list[torch.Tensor] = []
    score_figures(*round_of(VALUES[3:], TASKS[3:]), lambda sums: sent.append(sums) or sums)
    joined = score_figures(*round_of(VALUES[:3], TASKS[:3]), lambda sums: sums + sent[0])
    for name in (
        "score/mean",
        "score/std",
        "reward/mean",
        "reward/std",
        "score/bokeh",
        "reward/failed_share",
    ):
        assert joined[name] == pytest.approx(whole[name], abs=1e-12), name
    assert joined.keys() == whole.keys()


def test_ranks_send_the_same_sums_whatever_tasks_they_drew() -> None:
    sent: list[torch.Tensor] = []
    for tasks in (["bokeh"] * 5, TASKS, ["style_transfer"] * 5):
        score_figures(*round_of(VALUES, tasks), lambda sums: sent.append(sums) or sums)
    assert len({tuple(sums.shape) for sums in sent}) == 1


def test_a_mean_of_nothing_is_left_out() -> None:
    figures = score_figures(*round_of([NAN, NAN], ["bokeh"] * 2), alone)
    assert "score/mean" not in figures
    assert "score/bokeh" not in figures
    assert figures["reward/failed_share"] == 1.0
    assert not any(math.isnan(value) for value in figures.values())


@pytest.mark.parametrize(("count", "rank"), [(1, 1), (10, 10), (20, 19), (100, 95), (101, 96)])
def test_p95_is_the_value_that_95_in_100_do_not_exceed(count: int, rank: int) -> None:
    assert p95([float(i) for i in reversed(range(1, count + 1))]) == rank


def test_p95_of_nothing_is_zero() -> None:
    assert p95([]) == 0.0
