"""A referee beside the reward: asked in evaluations only; its distance is logged and outlives a run."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest

from callbacks.reward import RewardCallback
from hpedit.scorers.base import Score
from hpedit.types import EditedBatch
from tests.callbacks.test_reward import SCORES, Painter, trainer
from tests.support.edits import RedScorer, edited
from tests.support.ranks import on_two_ranks
from tests.support.scorers import BrightnessScorer


class Strict(RedScorer):
    """Gives a fifth of RedScorer's score."""

    def _score(self, request: Any) -> Score:
        score = super()._score(request)
        return Score(score.value / 5, failure=score.failure)


class Climber(Painter):
    """Paints edits that RedScorer finds better by a point in every epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.evaluates = self.paint

    def paint(self, index: int) -> EditedBatch:
        reached = 0 if self.trainer.sanity_checking else self.current_epoch + 1
        return edited([float(reached)] * 4, 4 * index)


class Gaps(pl.Callback):
    """Notes the gap and its change at each validation."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, float]] = []

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        figures = trainer.callback_metrics
        change = figures.get("val/hacking_gap_change", math.nan)
        self.seen.append((round(float(figures["val/hacking_gap"]), 4), round(float(change), 4)))


def validate(reward: RewardCallback) -> dict[str, float]:
    (logged,) = trainer(reward, limit_val_batches=1.0).validate(Painter(), verbose=False)
    return dict(logged)


def test_the_referee_sees_evaluations_and_no_rollout() -> None:
    referee, scorer = RedScorer(), RedScorer()
    trainer(RewardCallback(scorer, referee=referee)).fit(Painter())
    assert (len(scorer.calls), referee.calls, referee.checks) == (2, [], 1)
    validate(RewardCallback(scorer, referee=referee))
    assert sum(map(len, referee.calls)) == len(SCORES)


def test_the_gap_is_the_rewards_macro_mean_minus_the_referees() -> None:
    logged = validate(RewardCallback(RedScorer(), referee=Strict()))
    # One case a task, so that the macro mean is the mean.
    mean = sum(SCORES) / len(SCORES)
    assert logged["val/referee/hp_score"] == pytest.approx(mean / 5)
    assert logged["val/referee/hp_score/style_transfer"] == pytest.approx(SCORES[7] / 5)
    assert logged["val/hacking_gap"] == pytest.approx(mean * 4 / 5)
    assert logged["val/hp_score"] == pytest.approx(mean), "the referee counts for nothing"


def test_the_gap_is_taken_over_edits_that_both_scored() -> None:
    reward = RewardCallback(RedScorer(failing=["case-5"]), referee=Strict(failing=["case-1", "case-2"]))
    with pytest.warns(UserWarning, match="25% of the referee's scores could not be had: 429: too many"):
        logged = validate(reward)
    both = [SCORES[i] * 4 / 5 for i in (0, 3, 4, 6, 7)]
    assert logged["val/hacking_gap"] == pytest.approx(sum(both) / 5)
    assert logged["val/referee/failed_share"] == 0.25


def test_a_referee_that_says_nothing_stops_no_run() -> None:
    mute = BrightnessScorer(failing=tuple(edited(SCORES).cases.task))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        logged = validate(RewardCallback(RedScorer(), referee=mute))
    assert logged["val/referee/failed_share"] == 1.0
    assert math.isnan(logged["val/hacking_gap"])
    assert "val/hacking_gap_change" not in logged


def test_a_test_run_has_a_gap_and_no_change() -> None:
    (logged,) = trainer(RewardCallback(RedScorer(), referee=Strict())).test(Painter(), verbose=False)
    assert logged["test/hacking_gap"] == pytest.approx(2.0)
    assert "test/hacking_gap_change" not in logged


@pytest.mark.parametrize(
    ("sanity", "changes"),
    [(-1, [(0.0, 0.0), (0.8, 0.8), (1.6, 1.6)]), (1, [(0.0, math.nan), (0.8, 0.0), (1.6, 0.8)])],
)
def test_the_change_counts_from_the_first_whole_validation(
    sanity: int, changes: list[tuple[float, float]]
) -> None:
    gaps = Gaps()
    settings: dict[str, Any] = {"limit_val_batches": 1.0, "num_sanity_val_steps": sanity, "max_epochs": 2}
    trainer(RewardCallback(RedScorer(), referee=Strict()), gaps, **settings).fit(Climber())
    assert str(gaps.seen) == str(changes)


def test_a_resumed_run_counts_from_the_same_validation(tmp_path: Path) -> None:
    first, gaps = tmp_path / "first.ckpt", Gaps()
    runner = trainer(RewardCallback(RedScorer(), referee=Strict()), limit_val_batches=1.0)
    runner.fit(Climber())
    runner.save_checkpoint(first)
    resumed = trainer(
        RewardCallback(RedScorer(), referee=Strict()), gaps, limit_val_batches=1.0, max_epochs=2
    )
    resumed.fit(Climber(), ckpt_path=first)
    assert gaps.seen == [(1.6, 0.8)]


def test_a_referee_that_cannot_score_is_named_before_the_model_is_loaded() -> None:
    module, reward = Painter(), RewardCallback(RedScorer(), referee=RedScorer(broken="nobody at :8001"))
    with pytest.raises(ConnectionError, match=r"--reward\.referee cannot score: nobody at :8001"):
        trainer(reward).fit(module)
    assert not module.configured


class Shared(Painter):
    """Shows twelve edits of eight tasks, shared out among the ranks, better by half a point in every epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.evaluates = self.paint

    def val_dataloader(self) -> list[int]:
        return list(range(4))[self.trainer.global_rank :: self.trainer.world_size]

    def paint(self, index: int) -> EditedBatch:
        scores = [score + 0.5 * self.current_epoch for score in (4.0, 0.0, 1.0)]
        return edited(scores[index % 2 :] + scores[: index % 2], 3 * index)


class Figures(pl.Callback):
    """Notes all figures of each validation."""

    def __init__(self) -> None:
        self.seen: list[dict[str, float]] = []

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.seen.append({name: value for name, value in figures.items() if name.startswith("val/")})


def two_validations(**settings: Any) -> list[dict[str, float]]:
    """Fit for two epochs with a referee that fails on one case of each rank and is harsher than the reward."""
    reward = RewardCallback(RedScorer(failing=["case-10"]), referee=Strict(failing=["case-1", "case-3"]))
    figures = Figures()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        trainer(reward, figures, limit_val_batches=1.0, max_epochs=2, **settings).fit(Shared())
    return figures.seen


def a_rank(rank: int, folder: Path) -> None:
    seen = two_validations(strategy="ddp", devices=2)
    (folder / f"{rank}.json").write_text(json.dumps(seen))


def test_two_ranks_tell_the_gap_of_one_process(tmp_path: Path) -> None:
    on_two_ranks(a_rank, tmp_path)
    alone = two_validations()
    for rank in (0, 1):
        seen = json.loads((tmp_path / f"{rank}.json").read_text())
        assert len(seen) == len(alone) == 2
        for two, one in zip(seen, alone, strict=True):
            assert two == pytest.approx(one, abs=1e-6)
    assert alone[0]["val/hacking_gap_change"] == 0.0
    assert alone[1]["val/hacking_gap_change"] == pytest.approx(0.4, abs=0.01)  # four fifths of half a point
    assert alone[0]["val/referee/failed_share"] == pytest.approx(2 / 12)
