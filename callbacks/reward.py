"""HP-Scorer in the training loop: the reward of rollouts, and the metric of validation and test, by one code path."""

from __future__ import annotations

import time
from collections import Counter
from functools import partial
from typing import Any, cast

import lightning.pytorch as pl
import torch
from torch import Tensor

from hpedit.rollout import RolloutCallback, RolloutOwner
from hpedit.scorers.base import Scorer, sleep, wake
from hpedit.scorers.evaluation import evaluation_figures
from hpedit.scorers.failures import expect_enough
from hpedit.scorers.figures import score_figures
from hpedit.scorers.pool import (
    Scored,
    ScoringPool,
    Ticket,
    WeightedScorer,
    expect_usable,
    expect_working,
)
from hpedit.scorers.referee import Referee
from hpedit.scorers.reward import hp_reward
from hpedit.types import EditedBatch, Rollout


class RewardCallback(RolloutCallback):
    """Scores edits while the next ones are sampled, and turns scores into rewards.

    Rollouts: fills score and reward, NaN where they could not be had, and the module's ``round_metrics``.
    Validation and test: logs val/hp_score (macro mean) and the other figures of hpedit.scorers.evaluation; with a
    referee, val/referee/hp_score, val/hacking_gap and val/hacking_gap_change since the first validation; the same under
    test/.
    """

    def __init__(
        self,
        scorers: Scorer | list[WeightedScorer],
        alpha: float = 2.0,
        beta: float = 5.0,
        batch_size: int = 16,
        max_in_flight: int = 8,
        max_failed_share: float = 0.2,
        timeout: float = 600.0,
        unchanged_tolerance: float = 1.0,
        referee: Scorer | None = None,
    ) -> None:
        """
        Args:
            scorers: one scorer, or several with names and weights. The score is their weighted mean, and missing
                where one of positive weight failed; one of weight 0 is asked and logged, never rewarded.
            alpha: slope of the reward 1 / (1 + exp(-(alpha * score - beta))).
            beta: shift of the reward.
            batch_size: edits in one call of a scorer.
            max_in_flight: calls under way at once.
            max_failed_share: the run stops when more than this share of a round's scores could not be had, in [0, 1].
            timeout: seconds to wait for outstanding scores at the end of a round; later ones are missing.
            unchanged_tolerance: an edit within this mean absolute difference of its source, in 8-bit levels, counts
                as unchanged.
            referee: a second judge that is asked in validation and test only, such as a better or dearer one of
                another family; how far the score runs ahead of it is how far the reward is being gamed.
        """
        members = [WeightedScorer("hp_scorer", scorers)] if isinstance(scorers, Scorer) else scorers
        expect_usable(members)
        if not 0.0 <= max_failed_share <= 1.0:
            raise ValueError(f"reward.max_failed_share: expected a share in [0, 1], got {max_failed_share}")
        if batch_size < 1 or max_in_flight < 1:
            raise ValueError(
                "reward.batch_size and reward.max_in_flight: expected at least 1, "
                f"got {batch_size} and {max_in_flight}"
            )
        self.scorers = members
        self.alpha = alpha
        self.beta = beta
        self.batch_size = batch_size
        self.max_in_flight = max_in_flight
        self.max_failed_share = max_failed_share
        self.timeout = timeout
        self.unchanged_tolerance = unchanged_tolerance
        self.referee = None if referee is None else Referee(referee, batch_size, max_in_flight)
        self._pool: ScoringPool | None = None
        self._sampled: list[Ticket] = []
        self._evaluated: list[Ticket] = []
        self._started = 0.0

    @property
    def scores_by_case(self) -> dict[tuple[str, int], float]:
        """Scores of the last round and the last evaluation, by (case id, which edit of that case); NaN if missing.

        Waits for scores under way, so that it may be read before this callback's own turn.
        """
        scores: dict[tuple[str, int], float] = {}
        for tickets in filter(None, (self._sampled, self._evaluated)):
            seen: Counter[str] = Counter()
            scored = self._collect(tickets)
            for case, value in zip(scored.case_id, scored.value, strict=True):
                scores[case, seen[case]] = value
                seen[case] += 1
        return scores

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Ask every scorer whether it works. Lightning calls this before ``configure_model`` loads any weights."""
        if stage == "predict":
            return
        expect_working(self.scorers)
        try:
            if self.referee is not None:
                self.referee.open()
        except (ConnectionError, ValueError) as error:
            raise type(error)(f"--reward.referee cannot score: {error}") from error
        self._pool = ScoringPool(self.scorers, self.batch_size, self.max_in_flight, self.unchanged_tolerance)
        sleep(self._judges())

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._close()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        self._close()

    # Rollouts.

    def on_rollout_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, num_samples: int) -> None:
        self._sampled = []
        self._started = time.monotonic()
        wake(self._judges(with_referee=False))

    def on_rollout_chunk(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, chunk: EditedBatch, start: int
    ) -> None:
        assert start == sum(map(len, self._sampled)), "chunks come in the order of the rollout's samples"
        self._sampled.append(self._opened().submit(chunk))

    def on_rollout_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, rollout: Rollout) -> None:
        asked = time.monotonic()
        scored = self._collect(self._sampled)
        waited, lasted = time.monotonic() - asked, time.monotonic() - self._started
        sleep(self._judges())
        score = torch.tensor(scored.value, dtype=torch.float32)
        rollout.score.copy_(score)
        rollout.reward.copy_(hp_reward(score, self.alpha, self.beta))
        figures = score_figures(scored, rollout.reward.cpu(), partial(_total, trainer, pl_module))
        figures |= {"reward/wait_seconds": waited, "reward/wait_share": waited / max(lasted, 1e-9)}
        cast(RolloutOwner, pl_module).round_metrics.update(figures)
        failed_share = figures["reward/failed_share"]
        expect_enough(scored, failed_share, self.max_failed_share, f"round {rollout.round}")

    # Validation and test.

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._evaluated = []
        wake(self._judges())
        if self.referee is not None:
            self.referee.start()

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if not isinstance(outputs, EditedBatch):
            owner, got = type(pl_module).__name__, type(outputs).__name__
            raise ValueError(
                f"{owner}: validation and test steps must return an EditedBatch to score, got {got}"
            )
        self._evaluated.append(self._opened().submit(outputs))
        if self.referee is not None:
            self.referee.submit(outputs)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._log_evaluation(trainer, pl_module, "val")

    on_test_epoch_start = on_validation_epoch_start
    on_test_batch_end = on_validation_batch_end

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._log_evaluation(trainer, pl_module, "test")

    def _log_evaluation(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        scored = self._collect(self._evaluated)
        total = partial(_total, trainer, pl_module)
        figures = evaluation_figures(scored, total, pl_module.device)
        if self.referee is not None:
            keeps = stage == "val" and _is_whole(trainer)
            figures |= self.referee.figures(scored, self.timeout, pl_module.device, keeps)
        sleep(self._judges())
        # Equal on all ranks already; sync_dist tells Lightning so.
        pl_module.log(f"{stage}/hp_score", figures.pop("hp_score"), prog_bar=True, sync_dist=True)
        pl_module.log_dict({f"{stage}/{name}": value for name, value in figures.items()}, sync_dist=True)
        expect_enough(scored, figures["failed_share"], self.max_failed_share, f"this {stage} run")

    # Both, and what outlives a run.

    def state_dict(self) -> dict[str, Any]:
        return {"first_gap": None if self.referee is None else self.referee.first_gap}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if self.referee is not None:
            self.referee.first_gap = state_dict["first_gap"]

    def _opened(self) -> ScoringPool:
        assert self._pool is not None, "Lightning calls setup before any other hook"
        return self._pool

    def _collect(self, tickets: list[Ticket]) -> Scored:
        return self._opened().collect(tickets, self.timeout)

    def _judges(self, with_referee: bool = True) -> list[Scorer]:
        members = [member.scorer for member in self.scorers]
        return members + [self.referee.scorer] if with_referee and self.referee is not None else members

    def _close(self) -> None:
        if self._pool is not None:
            self._pool.close()
        if self.referee is not None:
            self.referee.close()


def _is_whole(trainer: pl.Trainer) -> bool:
    """Say whether this validation sees all cases, unlike a sanity check of a few of them."""
    return not trainer.sanity_checking or trainer.num_sanity_val_batches == trainer.num_val_batches


def _total(trainer: pl.Trainer, pl_module: pl.LightningModule, sums: Tensor) -> Tensor:
    """Sum a float64 vector over the ranks."""
    if trainer.world_size == 1:
        return sums
    return cast(Tensor, trainer.strategy.reduce(sums.to(pl_module.device), reduce_op="sum")).cpu()
