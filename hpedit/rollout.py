"""Rollouts: the loader that turns cases into transitions, and the hooks through which scores come back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import lightning.pytorch as pl
import torch
from torch import Tensor

from hpedit.advantage import GroupAdvantage
from hpedit.editors.base import Editor
from hpedit.noise import case_key, earlier_occurrences, key_number, keyed_generator, keyed_noise
from hpedit.plan import Pair, RoundPlan, busy_slots, cut
from hpedit.sampling import SDEStep, sample_trajectory
from hpedit.sde import SDEKind
from hpedit.timing import Stopwatch
from hpedit.types import Conditioning, EditBatch, EditedBatch, Guidance, Idle, Rollout, Transition
from hpedit.window import SDEWindow


class RolloutCallback(pl.Callback):
    """Lightning callback with three more hooks, called on every rank during a rollout round."""

    def on_rollout_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, num_samples: int) -> None:
        """Before the first sample of a round; this rank will sample ``num_samples`` edits."""

    def on_rollout_chunk(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, chunk: EditedBatch, start: int
    ) -> None:
        """After a chunk was sampled; its images are samples start, start + 1, ... of the Rollout. Must not block."""

    def on_rollout_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, rollout: Rollout) -> None:
        """After the last sample: wait for what is outstanding and write ``rollout.score`` and ``rollout.reward``."""


@dataclass(frozen=True)
class RolloutSettings:
    """How a round samples its edits.

    Attributes:
        group_size: Edits sampled of each case (G); their rewards are compared with each other.
        prompts_per_round: Cases of a round, over all ranks.
        num_steps: Denoising steps while training.
        true_cfg: Classifier-free guidance scale while training; 1 switches it off and halves the cost.
        embedded_guidance: Scale for a guidance-distilled model (FLUX.1-Kontext); null where the model has none.
        sde: Stochastic step: ``cps`` keeps the noise level exact, ``flow_sde`` is the paper's, ``dance`` is
            Dance-GRPO's.
        noise_level: Noise level a of the stochastic steps.
        window: Which steps are stochastic, and so trained.
        shared_noise: Start all samples of a group from the same noise.
        chunk_size: Samples that are denoised, decoded and sent to the scorer together.
        offload_encoders: Keep the text encoder off the device except while encoding.
    """

    group_size: int = 16
    prompts_per_round: int = 32
    num_steps: int = 10
    true_cfg: float = 1.0
    embedded_guidance: float | None = None
    sde: SDEKind = "flow_sde"
    noise_level: float = 0.7
    window: SDEWindow = field(default_factory=SDEWindow)
    shared_noise: bool = False
    chunk_size: int = 8
    offload_encoders: bool = False

    def __post_init__(self) -> None:
        self.window.bounds(self.num_steps)
        if self.group_size < 2:
            raise ValueError(
                f"rollout.group_size: wanted at least 2 samples to compare, got {self.group_size}"
            )
        if self.noise_level <= 0:
            raise ValueError(
                f"rollout.noise_level: wanted > 0 (no exploration without noise), got {self.noise_level}"
            )

    @property
    def guidance(self) -> Guidance:
        return Guidance(self.true_cfg, self.embedded_guidance)

    @property
    def window_size(self) -> int:
        return self.window.bounds(self.num_steps)[2]


@dataclass
class RoundBatch:
    """A batch of a round's cases, encoded.

    Attributes:
        cases: B cases.
        cond: the condition of each.
        earlier: how often each came before in the round, on any rank.
    """

    cases: EditBatch
    cond: list[Conditioning]
    earlier: list[int]


@dataclass
class Sample:
    """One sampled edit, kept for training: its condition, its place in the round and its stochastic steps."""

    case_id: str
    task: str
    group: int
    size: tuple[int, int]
    cond: Conditioning
    steps: list[SDEStep]


class RolloutOwner(Protocol):
    """What the loader asks of the module that owns the policy (FlowGRPOModule)."""

    editor: Editor
    rollout: RolloutSettings
    seed: int
    round_metrics: dict[str, float]

    @property
    def device(self) -> torch.device: ...

    @property
    def current_epoch(self) -> int: ...

    @property
    def global_rank(self) -> int: ...

    @property
    def trainer(self) -> pl.Trainer: ...

    @property
    def keeps_means(self) -> bool: ...

    def advantages(self, rollout: Rollout) -> GroupAdvantage: ...

    def gather(self, values: Tensor) -> Tensor: ...

    def most_over_ranks(self, value: int) -> int: ...


class Seekable(Protocol):
    """A batch sampler that can be set to any of its batches."""

    def seek(self, position: int) -> None: ...


class CaseLoader(Protocol):
    """A loader of EditBatch over an endless stream, whose sampler can be set to any batch."""

    @property
    def batch_sampler(self) -> Seekable: ...

    def __iter__(self) -> Iterator[EditBatch]: ...


class RolloutLoader:
    """Sized loader of one round's transitions; each iteration samples a new round with the current policy.

    The round is Lightning's epoch, and everything random is keyed by it, so that no position has to be saved.
    """

    def __init__(self, owner: RolloutOwner, cases: CaseLoader, plan: RoundPlan) -> None:
        self.owner = owner
        self.cases = cases
        self.plan = plan

    def __len__(self) -> int:
        return self.plan.length

    def __iter__(self) -> Iterator[Transition | Idle]:
        watch = Stopwatch(self.owner.device)
        samples, rollout = self.sample_round(watch)
        result = self.owner.advantages(rollout)
        self.owner.round_metrics.update(watch.report(self.plan.samples))
        for inner_epoch in range(self.plan.inner_epochs):
            yield from self.transitions(samples, result, inner_epoch)

    @torch.no_grad()
    def sample_round(self, watch: Stopwatch) -> tuple[list[Sample], Rollout]:
        """Sample this rank's share of the round and collect the rewards."""
        owner, settings, trainer = self.owner, self.owner.rollout, self.owner.trainer
        hooks = [c for c in trainer.callbacks if isinstance(c, RolloutCallback)]  # type: ignore[attr-defined]
        module = trainer.lightning_module
        round = owner.current_epoch
        for hook in hooks:
            hook.on_rollout_start(trainer, module, self.plan.samples)
        samples: list[Sample] = []
        with trainer.precision_plugin.forward_context():
            for batch in self.encode_round(round, watch):
                rows = [b for b in range(len(batch.cases)) for _ in range(settings.group_size)]
                for i in range(0, len(rows), settings.chunk_size):
                    start = len(samples)
                    chunk = self.sample_chunk(batch, rows[i : i + settings.chunk_size], i, samples, watch)
                    for hook in hooks:
                        hook.on_rollout_chunk(trainer, module, chunk, start)
        rollout = Rollout(
            round=round,
            case_id=[s.case_id for s in samples],
            task=[s.task for s in samples],
            group=torch.tensor([s.group for s in samples]),
            score=torch.full((len(samples),), torch.nan),
            reward=torch.full((len(samples),), torch.nan),
        )
        with watch("reward_wait"):
            for hook in hooks:
                hook.on_rollout_end(trainer, module, rollout)
        return samples, rollout

    def encode_round(self, round: int, watch: Stopwatch) -> list[RoundBatch]:
        """Encode every case of the round."""
        owner, settings = self.owner, self.owner.rollout
        self.cases.batch_sampler.seek(round * self.plan.case_batches)
        with watch("encode"):
            owner.editor.place(owner.device)
            batches, conds = [], []
            for _, batch in zip(range(self.plan.case_batches), self.cases, strict=False):
                batches.append(batch)
                conds.append(owner.editor.encode(batch, negative=settings.guidance.needs_negative))
            if settings.offload_encoders:
                owner.editor.place("cpu", encoders=True, decoder=False)
        return [RoundBatch(*row) for row in zip(batches, conds, self.earlier(batches), strict=True)]

    def earlier(self, batches: list[EditBatch]) -> list[list[int]]:
        """Return how often each case came before in the round, in the order of the stream that the ranks share.

        At its position q rank r has batch q * world + r, so the count is the same on any number of ranks.
        """
        own = torch.tensor([[key_number(case) for case in batch.case_id] for batch in batches])
        everyone = self.owner.gather(own.flatten()).view(-1, *own.shape).transpose(0, 1)
        counts = torch.tensor(earlier_occurrences(everyone.flatten().tolist())).view(everyone.shape)
        return counts[:, self.owner.global_rank].tolist()

    def sample_chunk(
        self,
        batch: RoundBatch,
        rows: list[int],
        offset: int,
        samples: list[Sample],
        watch: Stopwatch,
    ) -> EditedBatch:
        """Sample one chunk, append its samples, return its pictures. ``offset`` is its place among the batch's rows."""
        owner, settings = self.owner, self.owner.rollout
        editor, round, cases, cond = owner.editor, owner.current_epoch, batch.cases, batch.cond
        window = settings.window.steps(settings.num_steps, round, owner.seed)
        shape = editor.latent_shape(cases.size)
        names = [case_key(*row) for row in zip(cases.case_id, batch.earlier, strict=True)]
        keys = [(*names[b], (offset + i) % settings.group_size) for i, b in enumerate(rows)]
        start = [(*names[b], 0) for b in rows] if settings.shared_noise else keys
        noise = torch.stack([keyed_noise(shape, "start", owner.seed, round, *key) for key in start])
        step_noise = [
            torch.stack([keyed_noise(shape, "step", owner.seed, round, *key, step) for key in keys])
            for step in window
        ]
        with watch("rollout"):
            trajectory = sample_trajectory(
                editor,
                editor.collate([cond[b] for b in rows]),
                noise.to(owner.device),
                editor.sigmas(settings.num_steps, cases.size),
                settings.guidance,
                sde=settings.sde,
                noise_level=settings.noise_level,
                window=window,
                step_noise=step_noise,
            )
        with watch("decode"):
            images = editor.decode(trajectory.x_0, cases.size)
        groups_before = owner.global_rank * self.plan.samples // settings.group_size
        for i, b in enumerate(rows):
            group = groups_before + len(samples) // settings.group_size
            steps = [step.row(i, keep_mean=owner.keeps_means) for step in trajectory.steps]
            samples.append(Sample(cases.case_id[b], cases.task[b], group, cases.size, cond[b], steps))
        return EditedBatch(cases, rows, images)

    def transitions(
        self, samples: list[Sample], result: GroupAdvantage, inner_epoch: int
    ) -> Iterator[Transition | Idle]:
        """Yield one pass over the round's live pairs, shuffled, padded so that all ranks stay in step."""
        owner, plan = self.owner, self.plan
        draw = keyed_generator("order", owner.seed, owner.current_epoch, inner_epoch, owner.global_rank)
        live = [
            (n, s) for n, sample in enumerate(samples) if result.alive[n] for s in range(len(sample.steps))
        ]
        batches = cut(live, [sample.size for sample in samples], plan.rows, draw)
        num_busy = owner.most_over_ranks(len(batches))
        for slot, busy in enumerate(busy_slots(num_busy, plan.slots, plan.updates)):
            first = inner_epoch == 0 and slot < plan.accumulate
            if not busy:
                yield Idle()
            elif batches:
                yield self.transition(batches.pop(), samples, result.advantage, weight=1.0, first=first)
            else:
                yield self.transition([(0, 0)], samples, result.advantage, weight=0.0, first=first)

    def transition(
        self, pairs: list[Pair], samples: list[Sample], advantage: Tensor, weight: float, first: bool
    ) -> Transition:
        """Join (sample, step) pairs into a micro-batch."""
        owner = self.owner
        steps = [samples[n].steps[s] for n, s in pairs]
        return Transition(
            x_t=torch.stack([s.x_t for s in steps]),
            x_next=torch.stack([s.x_next for s in steps]),
            t=torch.tensor([s.t for s in steps]),
            t_next=torch.tensor([s.t_next for s in steps]),
            log_prob_old=torch.stack([s.log_prob for s in steps]),
            mean_old=torch.stack([s.mean for s in steps]) if owner.keeps_means else None,  # type: ignore[arg-type]
            advantage=torch.stack([advantage[n] for n, _ in pairs]),
            weight=torch.full((len(pairs),), weight),
            cond=owner.editor.collate([samples[n].cond for n, _ in pairs]),
            noise_level=owner.rollout.noise_level,
            num_planned=self.plan.rows,
            first=first,
        )
