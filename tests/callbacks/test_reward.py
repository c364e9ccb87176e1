"""The reward callback in a real Trainer: overlap, missing scores, figures, and one path for training and evaluation."""

import json
import math
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from jsonargparse import ArgumentParser
from torch import Tensor

from callbacks.reward import RewardCallback
from hpedit.rollout import RolloutCallback
from hpedit.scorers.base import ScoreRequest
from hpedit.scorers.cache import CachedScorer
from hpedit.scorers.failures import ScoringFailed
from hpedit.scorers.hp_scorer import HPScorer
from hpedit.scorers.pool import WeightedScorer
from hpedit.types import EditedBatch, Rollout
from tests.support.edits import PATIENCE, RedScorer, edited
from tests.support.ranks import on_two_ranks

SCORES = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 2.0, 3.0]


class Rounds:
    """A sized loader that samples a round on each iteration and calls the hooks, as the rollout loader does."""

    def __init__(self, owner: "Painter") -> None:
        self.owner = owner

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[Tensor]:
        owner, trainer = self.owner, self.owner.trainer
        hooks = [hook for hook in trainer.callbacks if isinstance(hook, RolloutCallback)]  # type: ignore[attr-defined]
        rank = trainer.global_rank
        chunks = [edited(SCORES[:4], 10 * rank, group=2), edited(SCORES[4:], 10 * rank + 2, group=2)]
        case_id = [chunk.cases.case_id[row] for chunk in chunks for row in chunk.case_row]
        task = [chunk.cases.task[row] for chunk in chunks for row in chunk.case_row]
        blank = torch.full((8,), math.nan)
        rollout = Rollout(trainer.current_epoch, case_id, task, torch.arange(8) // 2, blank, blank.clone())
        for hook in hooks:
            hook.on_rollout_start(trainer, owner, 8)
            for start, chunk in zip((0, 4), chunks, strict=True):
                hook.on_rollout_chunk(trainer, owner, chunk, start)
                owner.sample()
            hook.on_rollout_end(trainer, owner, rollout)
        owner.rollouts.append(rollout)
        yield torch.zeros(1)


def half_of_the_scores(index: int) -> EditedBatch:
    return edited(SCORES[4 * index : 4 * index + 4], 4 * index)


class Painter(pl.LightningModule):
    """Paints edits of known scores; ``sample`` stands for sampling the chunk after the one just handed in."""

    def __init__(self, sample: Callable[[], object] = int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.sample = sample
        self.round_metrics: dict[str, float] = {}
        self.rollouts: list[Rollout] = []
        self.configured = False
        self.evaluates: Callable[[int], EditedBatch | None] = half_of_the_scores

    def configure_model(self) -> None:
        self.configured = True

    def train_dataloader(self) -> Rounds:
        return Rounds(self)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return self.weight.square()

    def val_dataloader(self) -> list[int]:
        return [0, 1]

    test_dataloader = predict_dataloader = val_dataloader

    def validation_step(self, batch: int, batch_idx: int) -> Any:
        return self.evaluates(batch)

    test_step = predict_step = validation_step

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trainer(reward: RewardCallback, *others: pl.Callback, **settings: Any) -> pl.Trainer:
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    settings = {"max_epochs": 1, "num_sanity_val_steps": 0, "limit_val_batches": 0, "devices": 1, **settings}
    return pl.Trainer(
        accelerator="cpu", callbacks=[*others, reward], enable_model_summary=False, **quiet, **settings
    )


def fit(reward: RewardCallback, sample: Callable[[], object] = int, **settings: Any) -> Painter:
    module = Painter(sample)
    trainer(reward, **settings).fit(module)
    return module


def test_every_sample_gets_its_score_and_the_papers_reward() -> None:
    module = fit(RewardCallback(RedScorer(), batch_size=3))
    assert module.rollouts[0].score.tolist() == SCORES
    by_hand = [1 / (1 + math.exp(-(2 * score - 5))) for score in SCORES]
    assert module.rollouts[0].reward.tolist() == pytest.approx(by_hand, abs=1e-6)


def test_alpha_and_beta_are_settings() -> None:
    module = fit(RewardCallback(RedScorer(), alpha=1.0, beta=3.0))
    assert module.rollouts[0].reward[3].item() == pytest.approx(0.5)


def test_scoring_overlaps_sampling() -> None:
    """Sampling goes on only once scoring has begun, and scoring ends only once sampling has: blocking would hang."""
    gate = threading.Event()
    scorer = RedScorer(gate=gate)
    moments = iter([lambda: scorer.begun.wait(PATIENCE), gate.set])
    module = fit(RewardCallback(scorer, batch_size=4), sample=lambda: next(moments)())
    assert module.rollouts[0].score.tolist() == SCORES


def test_the_wait_at_the_end_of_a_round_is_reported() -> None:
    gate = threading.Event()
    release = iter([int, threading.Timer(0.3, gate.set).start])
    figures = fit(RewardCallback(RedScorer(gate=gate)), sample=lambda: next(release)()).round_metrics
    assert figures["reward/wait_seconds"] >= 0.2
    assert 0.0 < figures["reward/wait_share"] <= 1.0


def test_a_failed_sample_is_missing_and_counted() -> None:
    with pytest.warns(UserWarning, match=r"25% of the scores of round 0 .*429: too many pictures"):
        module = fit(RewardCallback(RedScorer(failing=["case-1"]), max_failed_share=0.25))
    assert module.rollouts[0].score.isnan().tolist() == [False, False, True, True] + [False] * 4
    assert torch.equal(module.rollouts[0].reward.isnan(), module.rollouts[0].score.isnan())
    assert module.round_metrics["reward/failed_share"] == 0.25
    assert module.round_metrics["score/mean"] == pytest.approx(sum(SCORES[:2] + SCORES[4:]) / 6)


def test_too_many_failures_stop_the_run_in_the_scorers_own_words() -> None:
    reward = RewardCallback(RedScorer(failing=["case-1"]), max_failed_share=0.2)
    with pytest.raises(ScoringFailed, match=r"25% .*round 0.*2 times here\): 429: too many pictures.*20%"):
        fit(reward)


def test_a_round_reports_itself_to_the_module() -> None:
    figures = fit(RewardCallback(RedScorer())).round_metrics
    assert figures["score/mean"] == pytest.approx(2.5)
    assert figures["reward/unchanged_share"] == pytest.approx(1 / 8)
    assert figures["score/object_addition"] == pytest.approx(0.5)  # case 0, scores 0 and 1
    assert {"reward/std", "score/std", "reward/wait_share", "scorer/hp_scorer/score"} <= figures.keys()
    assert {f"scorer/hp_scorer/{name}" for name in ("latency", "latency_p95", "queue_wait")} <= figures.keys()


def test_scorers_are_checked_before_the_model_is_configured() -> None:
    module = Painter()
    with pytest.raises(ConnectionError, match=r"--reward\.scorers: hp_scorer cannot score: nobody at :8000"):
        trainer(RewardCallback(RedScorer(broken="nobody at :8000"))).fit(module)
    assert not module.configured


def test_predicting_asks_no_scorer() -> None:
    scorer = RedScorer(broken="nobody there")
    trainer(RewardCallback(scorer)).predict(Painter())
    assert scorer.checks == 0


@pytest.mark.parametrize("stage", ["val", "test"])
def test_evaluation_logs_the_macro_mean_and_each_task(stage: str) -> None:
    runner = trainer(RewardCallback(RedScorer()), limit_val_batches=1.0)
    run = runner.validate if stage == "val" else runner.test
    (logged,) = run(Painter(), verbose=False)
    assert logged[f"{stage}/hp_score"] == pytest.approx(2.5)
    assert logged[f"{stage}/hp_score/object_swapping"] == 2.0
    assert logged[f"{stage}/failed_share"] == 0.0
    assert logged[f"{stage}/unchanged_share"] == pytest.approx(1 / 8)


def test_evaluation_and_training_score_alike() -> None:
    """The same pictures, handed in as a rollout and as a validation, get the same scores from the same calls."""
    scorer = RedScorer()
    reward = RewardCallback(scorer, batch_size=4)
    module = Painter()
    module.evaluates = lambda index: edited(SCORES[4 * index : 4 * index + 4], 2 * index, group=2)
    trainer(reward, limit_val_batches=1.0).fit(module)
    sampled, evaluated = scorer.calls[:2], scorer.calls[2:]
    for a, b in zip(
        *(sorted(calls, key=lambda call: call[0].case_id) for calls in (sampled, evaluated)), strict=True
    ):
        for left, right in zip(a, b, strict=True):
            assert (left.case_id, left.task, left.instruction) == (
                right.case_id,
                right.task,
                right.instruction,
            )
            assert torch.equal(left.edit, right.edit)
            assert torch.equal(left.sources[0], right.sources[0])
    logged = trainer(reward, limit_val_batches=1.0).validate(module, verbose=False)[0]
    assert logged["val/hp_score/object_addition"] == module.rollouts[0].score[:2].mean()


def test_too_many_failures_stop_an_evaluation() -> None:
    with pytest.raises(ScoringFailed, match="25% of the scores of this test run"):
        trainer(RewardCallback(RedScorer(failing=["case-1", "case-5"]))).test(Painter(), verbose=False)


def test_each_of_several_scorers_is_logged_apart() -> None:
    members = [WeightedScorer("red", RedScorer()), WeightedScorer("referee", RedScorer(), weight=0.0)]
    reward = RewardCallback(members)
    figures = fit(reward).round_metrics
    assert figures["scorer/red/score"] == figures["scorer/referee/score"] == pytest.approx(2.5)
    (logged,) = trainer(reward).test(Painter(), verbose=False)
    assert logged["test/scorer/referee"] == pytest.approx(2.5)


class NamedRed(RedScorer):
    """A RedScorer that a cache can be put before."""

    def identity(self, request: ScoreRequest) -> str:
        return "red"


def test_the_share_of_scores_from_a_cache_is_reported(tmp_path: Path) -> None:
    def cached() -> RewardCallback:
        return RewardCallback(
            [WeightedScorer("red", CachedScorer(NamedRed(), str(tmp_path / "scores.sqlite")))]
        )

    assert fit(cached()).round_metrics["scorer/red/cache_hit_share"] == 0.0
    assert fit(cached()).round_metrics["scorer/red/cache_hit_share"] == 1.0
    (logged,) = trainer(cached(), limit_val_batches=1.0).validate(Painter(), verbose=False)
    assert logged["val/cache_hit_share"] == 0.25  # of cases 0 and 3, which had these edits in the round
    (logged,) = trainer(RewardCallback(RedScorer()), limit_val_batches=1.0).validate(Painter(), verbose=False)
    assert "val/cache_hit_share" not in logged


def test_a_module_that_shows_no_edits_is_told_so() -> None:
    module = Painter()
    module.evaluates = lambda index: None
    with pytest.raises(ValueError, match="Painter: validation and test steps must return an EditedBatch"):
        trainer(RewardCallback(RedScorer())).test(module, verbose=False)


def test_scores_can_be_read_by_a_callback_whose_turn_is_earlier() -> None:
    class Reader(pl.Callback):
        def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            self.read = reward.scores_by_case

    reward, reader = RewardCallback(RedScorer(delay=0.2)), Reader()
    trainer(reward, reader, limit_val_batches=1.0).fit(Painter())
    assert reader.read["case-7", 0] == 3.0  # of the validation
    module = Painter()
    trainer(reward).fit(module)
    assert reward.scores_by_case["case-2", 1] == 5.0  # second edit of the third case of the rollout


def test_a_sanity_check_comes_before_any_round() -> None:
    module = fit(RewardCallback(RedScorer()), num_sanity_val_steps=-1, limit_val_batches=1.0)
    assert module.rollouts[0].score.tolist() == SCORES


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"max_failed_share": 1.5}, r"reward.max_failed_share: expected a share in \[0, 1\], got 1.5"),
        ({"batch_size": 0}, "reward.batch_size"),
        ({"max_in_flight": 0}, "reward.max_in_flight"),
        ({"scorers": []}, "no scorer"),
        ({"scorers": [WeightedScorer("a", RedScorer()), WeightedScorer("a", RedScorer())]}, "distinct names"),
        ({"scorers": [WeightedScorer("a", RedScorer(), 0.0)]}, "one above 0, got a: 0"),
        ({"scorers": [WeightedScorer("a", RedScorer()), WeightedScorer("b", RedScorer(), -1.0)]}, "b: -1"),
    ],
)
def test_settings_out_of_range_are_named(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        RewardCallback(**{"scorers": RedScorer(), **settings})


SERVED = {
    "class_path": "hpedit.scorers.hp_scorer.HPScorer",
    "init_args": {
        "backend": {
            "class_path": "hpedit.scorers.openai_backend.OpenAIBackend",
            "init_args": {"base_url": "http://127.0.0.1:1/v1", "model": "judge"},
        }
    },
}


@pytest.mark.parametrize("scorers", [SERVED, [{"name": "hp", "scorer": SERVED, "weight": 0.5}]])
def test_a_config_names_one_scorer_or_several(tmp_path: Path, scorers: Any) -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--reward", type=RewardCallback | None, default=None)
    config: Any = parser.parse_object({"reward": {"scorers": scorers, "beta": 4.0}})
    reward = parser.instantiate_classes(config)["reward"]
    assert isinstance(reward, RewardCallback)
    assert reward.beta == 4.0
    assert isinstance(reward.scorers[0].scorer, HPScorer)


def a_rank(rank: int, folder: Path) -> None:
    """Fit on one of two ranks, of which the second cannot score; write down how it ended and what it saw."""
    second = [f"case-{k}" for k in range(10, 14)]
    module = Painter()
    with pytest.raises(ScoringFailed) as stopped:
        trainer(
            RewardCallback(RedScorer(failing=second), max_failed_share=0.4), strategy="ddp", devices=2
        ).fit(module)
    (folder / f"{rank}.json").write_text(json.dumps({"words": str(stopped.value), **module.round_metrics}))


def test_ranks_share_their_figures_and_stop_together(tmp_path: Path) -> None:
    on_two_ranks(a_rank, tmp_path)
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    for name in ("reward/failed_share", "score/mean", "reward/mean", "reward/unchanged_share"):
        assert first[name] == second[name]
    assert first["reward/failed_share"] == 0.5
    assert first["score/mean"] == pytest.approx(2.5)
    assert "50% of the scores of round 0" in first["words"]
    assert "on another rank" in first["words"]
    assert "429: too many pictures" in second["words"]
