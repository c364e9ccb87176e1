"""Flow-GRPO: online post-training of an editor on the scores of its own edits (paper, section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor
from torch.distributed.tensor import DTensor

from hpedit.advantage import AdvantageNorm, GroupAdvantage, group_advantage
from hpedit.editors.base import Editor
from hpedit.lora import LoRA
from hpedit.losses import (
    clipped_surrogate,
    gaussian_kl,
    gaussian_kl_per_dt,
    ratio_norm_log_ratio,
    velocity_kl,
    weighted_mean,
)
from hpedit.modules import checkpoint as ckpt
from hpedit.modules.guard import UpdateGuard
from hpedit.modules.optim import adamw, optimizers
from hpedit.modules.policy import Policy
from hpedit.modules.ratio_check import check_ratio, default_tolerance, ratio_error
from hpedit.plan import RoundPlan, plan_round
from hpedit.rollout import CaseLoader, RolloutCallback, RolloutLoader, RolloutSettings
from hpedit.sampling import EvalSettings, edit_cases
from hpedit.sde import gaussian_log_prob, step_mean_std
from hpedit.timing import Stopwatch
from hpedit.types import EditBatch, EditedBatch, Idle, Rollout, Transition


@dataclass(frozen=True)
class GRPOLoss:
    """The clipped surrogate and what keeps it in bounds.

    Attributes:
        clip_low: How far a ratio may fall below 1 before its gradient stops. Ratios are of log-probabilities
            averaged over the latent dimensions, hence the small numbers.
        clip_high: How far it may rise above 1.
        advantage_norm: Divide centred rewards by the spread of the whole ``batch`` of samples, of the ``group``
            (the paper's eq. 3), or by nothing (``none``).
        advantage_clip: Largest absolute advantage; null for no limit.
        min_group_std: Groups whose rewards spread less than this teach nothing and are left out.
        kl_weight: Weight of the penalty for leaving the reference; 0 skips the reference pass altogether.
        kl: ``gaussian`` is the exact KL of the two step distributions per latent dimension, ``per_dt`` the same
            times |dt| (flow_grpo's form), ``velocity`` the squared difference of the velocities.
        ratio_norm: Normalise ratios as GRPO-Guard does; wants a clip of its own.
    """

    clip_low: float = 1e-4
    clip_high: float = 1e-4
    advantage_norm: AdvantageNorm = "batch"
    advantage_clip: float | None = 5.0
    min_group_std: float = 0.0
    kl_weight: float = 0.0
    kl: Literal["gaussian", "per_dt", "velocity"] = "velocity"
    ratio_norm: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.clip_low < 1 or self.clip_high < 0:
            raise ValueError(
                f"loss.clip_low, loss.clip_high: wanted in [0, 1) and at least 0, got {self.clip_low}, {self.clip_high}"
            )
        if self.kl_weight < 0:
            raise ValueError(f"loss.kl_weight: wanted at least 0, got {self.kl_weight}")


class FlowGRPOModule(LightningModule):
    """Post-trains an editor with Flow-GRPO; one Lightning epoch is one rollout round.

    Args:
        editor: The editor to align.
        lora: The adapter to train, with the adapter switched off as the reference; null trains all weights and
            keeps a frozen copy as the reference if the KL weight is above 0.
        rollout: How a round samples its edits.
        loss: The objective.
        inner_epochs: Passes over a round's transitions.
        updates_per_pass: Optimizer updates of one pass, on any number of ranks; sets the trainer's
            accumulate_grad_batches, which must be left at 1.
        micro_batch_size: (sample, step) pairs of one forward and backward pass on each rank.
        optimizer: Optimizer over the trained weights.
        lr_scheduler: Learning-rate schedule, stepped after every update; null keeps the rate.
        eval: How validation, test and prediction sample edits.
        ratio_tolerance: Largest |ratio - 1| before a round's first update; null takes the measured one of the
            precision in use.
        gradient_checkpointing: Recompute activations in the backward pass to save memory.
        compile_blocks: Compile the transformer's repeated blocks.
        max_skipped_updates: Updates in a row with a NaN gradient after which the run stops.
        seed: Seed of all noise, windows and orders.
    """

    strict_loading = False  # pyright: ignore[reportAssignmentType]  # a checkpoint holds no frozen weights

    def __init__(
        self,
        editor: Editor,
        lora: LoRA | None = LoRA(),
        rollout: RolloutSettings = RolloutSettings(),
        loss: GRPOLoss = GRPOLoss(),
        inner_epochs: int = 1,
        updates_per_pass: int = 2,
        micro_batch_size: int = 4,
        optimizer: OptimizerCallable = adamw,
        lr_scheduler: LRSchedulerCallable | None = None,
        eval: EvalSettings = EvalSettings(),
        ratio_tolerance: float | None = None,
        gradient_checkpointing: bool = False,
        compile_blocks: bool = False,
        max_skipped_updates: int = 5,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.editor = editor
        self.lora = lora
        self.rollout = rollout
        self.loss = loss
        self.inner_epochs = inner_epochs
        self.updates_per_pass = updates_per_pass
        self.micro_batch_size = micro_batch_size
        self.make_optimizer = optimizer
        self.make_scheduler = lr_scheduler
        self.eval_settings = eval
        self.ratio_tolerance = ratio_tolerance
        self.gradient_checkpointing = gradient_checkpointing
        self.compile_blocks = compile_blocks
        self.guard = UpdateGuard(max_skipped_updates)
        self.seed = seed
        self.policy: Policy | None = None
        self.round_metrics: dict[str, float] = {}

    # ---- the policy -------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Refuse what cannot work before any weights are read."""
        if stage == "fit" and not any(isinstance(c, RolloutCallback) for c in self.trainer.callbacks):  # type: ignore[attr-defined]
            raise ValueError("--reward: FlowGRPOModule wanted a RewardCallback to score its edits, got none")
        if stage == "fit":
            plan = self.plan(self.trainer.datamodule.batch_size)  # type: ignore[attr-defined]
            if self.trainer.accumulate_grad_batches not in (1, plan.accumulate):
                raise ValueError(
                    "trainer.accumulate_grad_batches: wanted 1 (model.updates_per_pass decides), "
                    f"got {self.trainer.accumulate_grad_batches}"
                )
            self.trainer.accumulate_grad_batches = plan.accumulate

    def configure_model(self) -> None:
        if self.policy is None:
            self.policy = Policy(
                self.editor,
                self.lora,
                keep_reference=self.loss.kl_weight > 0,
                gradient_checkpointing=self.gradient_checkpointing,
                compile_blocks=self.compile_blocks,
                mesh=None if self.device_mesh is None else self.device_mesh["data_parallel"],
            )

    def configure_optimizers(self) -> Any:
        return optimizers(self, self.make_optimizer, self.make_scheduler)

    # ---- a round ----------------------------------------------------------------------------------------------

    def plan(self, batch_size: int) -> RoundPlan:
        """Cut a round into micro-batches for ``batch_size`` cases a batch."""
        return plan_round(
            prompts_per_round=self.rollout.prompts_per_round,
            group_size=self.rollout.group_size,
            window_size=self.rollout.window_size,
            inner_epochs=self.inner_epochs,
            micro_batch_size=self.micro_batch_size,
            batch_size=batch_size,
            world_size=self.trainer.world_size,
            updates=self.updates_per_pass,
        )

    def rollout_loader(self, cases: CaseLoader) -> RolloutLoader:
        """Turn a loader of cases into the loader of what is trained on; called by the datamodule."""
        return RolloutLoader(self, cases, self.plan(self.trainer.datamodule.batch_size))  # type: ignore[attr-defined]

    @property
    def keeps_means(self) -> bool:
        return self.loss.ratio_norm

    def advantages(self, rollout: Rollout) -> GroupAdvantage:
        """Return the advantages of this rank's samples, relative to their groups and the whole round."""
        reward, group = self.gather(rollout.reward), self.gather(rollout.group)
        if reward.isnan().all():
            raise ValueError(
                f"round {rollout.round}: wanted rewards from a RolloutCallback, got none for any sample"
            )
        loss = self.loss
        result = group_advantage(
            reward, group, norm=loss.advantage_norm, clip=loss.advantage_clip, min_std=loss.min_group_std
        )
        own = slice(self.global_rank * len(rollout.reward), (self.global_rank + 1) * len(rollout.reward))
        stats = {f"reward/{name.removeprefix('reward_')}": value for name, value in result.stats.items()}
        self.round_metrics.update(stats)
        return GroupAdvantage(result.advantage[own], result.alive[own], result.stats)

    def gather(self, values: Tensor) -> Tensor:
        """Join (N,) values of all ranks in order of rank, on the CPU."""
        return cast(Tensor, self.all_gather(values.to(self.device))).reshape(-1).cpu()

    def most_over_ranks(self, value: int) -> int:
        return int(self.gather(torch.tensor([value])).max())

    def training_step(self, batch: Transition | Idle, batch_idx: int) -> Tensor:
        if isinstance(batch, Idle):
            return self.idle_loss()
        v = self.editor.velocity(batch.x_t, batch.t, batch.cond, self.rollout.guidance)
        mean, std = step_mean_std(self.rollout.sde, batch.x_t, v, batch.t, batch.t_next, batch.noise_level)
        log_ratio = self.log_ratio(batch, mean, std)
        if batch.first:
            # Looked at over all ranks: if one stopped alone, the others would wait for it.
            check_ratio(float(self.gather(ratio_error(log_ratio, batch.weight)).max()), self.tolerance)
        loss, metrics = clipped_surrogate(
            log_ratio,
            batch.advantage,
            batch.weight,
            clip_low=self.loss.clip_low,
            clip_high=self.loss.clip_high,
            denominator=batch.num_planned,
            dims=batch.x_t[0].numel(),
        )
        if self.loss.kl_weight > 0:
            kl = weighted_mean(self.kl(batch, v, mean, std), batch.weight, batch.num_planned)
            loss = loss + self.loss.kl_weight * kl
            metrics["kl"] = kl.detach()
        self.log_step(loss, metrics, len(batch))
        return loss

    def idle_loss(self) -> Tensor:
        """Return 0, with a gradient of 0 for every trained weight: DistributedDataParallel waits for each of them."""
        trained = [p for p in self.parameters() if p.requires_grad]
        local = [p.to_local() if isinstance(p, DTensor) else p for p in trained]
        return torch.stack([p.sum() for p in local]).sum() * 0.0

    def log_ratio(self, batch: Transition, mean: Tensor, std: Tensor) -> Tensor:
        """Return the (M,) log-ratios of the policy to the one that sampled."""
        log_prob = gaussian_log_prob(batch.x_next, mean, std)
        if not self.loss.ratio_norm:
            return log_prob - batch.log_prob_old
        assert batch.mean_old is not None
        return ratio_norm_log_ratio(log_prob, batch.log_prob_old, mean, batch.mean_old, std)

    def kl(self, batch: Transition, v: Tensor, mean: Tensor, std: Tensor) -> Tensor:
        """Return the (M,) penalties for leaving the reference. Its pass comes after the policy's: autocast caches."""
        assert self.policy is not None
        with torch.no_grad(), self.policy.reference():
            v_ref = self.editor.velocity(batch.x_t, batch.t, batch.cond, self.rollout.guidance)
        if self.loss.kl == "velocity":
            return velocity_kl(v, v_ref)
        mean_ref, _ = step_mean_std(
            self.rollout.sde, batch.x_t, v_ref, batch.t, batch.t_next, batch.noise_level
        )
        if self.loss.kl == "gaussian":
            return gaussian_kl(mean, mean_ref, std)
        return gaussian_kl_per_dt(mean, mean_ref, std, batch.t_next - batch.t)

    @property
    def tolerance(self) -> float:
        if self.ratio_tolerance is not None:
            return self.ratio_tolerance
        return default_tolerance(self.trainer.precision, self.editor.transformer)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        self.log_dict(self.guard.before_update(self.parameters(), optimizer))

    # ---- edits for people ---------------------------------------------------------------------------------------

    def validation_step(self, batch: EditBatch, batch_idx: int) -> EditedBatch:
        return edit_cases(self.editor, batch, self.eval_settings, self.device)

    test_step = validation_step  # pyright: ignore[reportAssignmentType]  # a callback takes the edits
    predict_step = validation_step

    # ---- figures ------------------------------------------------------------------------------------------------

    def log_step(self, loss: Tensor, metrics: dict[str, Tensor], rows: int) -> None:
        figures = {"train/loss": loss.detach(), **{f"train/{name}": value for name, value in metrics.items()}}
        for name, value in figures.items():
            fold = {"train/ratio_min": "min", "train/ratio_max": "max"}.get(name, "mean")
            self.log(
                name, value, on_step=False, on_epoch=True, reduce_fx=fold, batch_size=rows, sync_dist=True
            )

    def on_train_epoch_start(self) -> None:
        self.round_watch = Stopwatch(self.device)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        # The round ends here: a validation may follow before the epoch's own end.
        if self.trainer.is_last_batch:
            self.round_metrics |= self.round_times()

    def round_times(self) -> dict[str, float]:
        """Return how long the round took, all of it and its updates, and its images a second on this rank."""
        seconds, metrics = self.round_watch.elapsed(), self.round_metrics
        images = metrics["speed/sampled_images_per_s"] * metrics["time/sampling_s"]
        return {
            "time/round_s": seconds,
            "time/update_s": seconds - metrics["time/sampling_s"],
            "speed/images_per_s": images / seconds,
        }

    def on_train_epoch_end(self) -> None:
        figures = dict(self.round_metrics)
        self.round_metrics.clear()
        for name, value in figures.items():
            shown = name in ("reward/mean", "speed/images_per_s")
            self.log(name, value, prog_bar=shown, sync_dist=True)

    # ---- going on -----------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        ckpt.write(checkpoint, self)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        ckpt.read(checkpoint, self)
