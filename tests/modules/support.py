"""A tiny training run in memory: cases, a reward that is read off the pictures, and what can be counted about it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from hpedit.editors.qwen_image_edit_plus import QwenImageEditPlusEditor
from hpedit.lora import LoRA
from hpedit.modules.grpo import FlowGRPOModule, GRPOLoss
from hpedit.rollout import RolloutCallback, RolloutSettings
from hpedit.sampling import EvalSettings
from hpedit.types import EditBatch, EditedBatch, Idle, PreferenceBatch, Rollout, Transition
from hpedit.window import SDEWindow

SIDE = 64
TASKS = ("color_change", "object_removal")


def tiny_editor(folder: str, dtype: Any = "float32") -> QwenImageEditPlusEditor:
    return QwenImageEditPlusEditor(folder, dtype=dtype, reference_area=SIDE * SIDE, condition_area=784)


def pictures(seed: int, n: int) -> Tensor:
    """Smooth random pictures (n, 3, SIDE, SIDE) of 8-bit levels."""
    coarse = torch.rand(n, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.interpolate(coarse, size=(SIDE, SIDE), mode="bilinear")
    return (smooth * 255).round() / 255


def cases(first: int, n: int, targets: bool = False) -> EditBatch:
    """Cases number first, first + 1, ...; instructions differ in length, so that texts are padded and masked."""
    numbers = range(first, first + n)
    return EditBatch(
        case_id=[f"case{i}" for i in numbers],
        task=[TASKS[i % 2] for i in numbers],
        instruction=[
            "Replace the red cube with a blue ball." if i % 2 else "Add a small dog." for i in numbers
        ],
        requirement=[""] * n,
        sources=[torch.cat([pictures(i, 1) for i in numbers])],
        size=(SIDE, SIDE),
        target=torch.cat([pictures(1000 + i, 1) for i in numbers]) if targets else None,
    )


def pairs(first: int, n: int) -> PreferenceBatch:
    batch = cases(first, n)
    preferred, rejected = (torch.cat([pictures(s + first + i, 1) for i in range(n)]) for s in (1000, 2000))
    return PreferenceBatch(batch, preferred, rejected)


class EndlessCases:
    """Cases in order, without end: at position q rank r has batch q * world + r, as the project's sampler deals."""

    def __init__(self, batch_size: int, rank: int, world: int, num_cases: int) -> None:
        self.batch_size, self.rank, self.world, self.num_cases = batch_size, rank, world, num_cases
        self.position = 0

    @property
    def batch_sampler(self) -> EndlessCases:
        return self

    def seek(self, position: int) -> None:
        self.position = position

    def __iter__(self) -> Iterator[EditBatch]:
        while True:
            batch = self.position * self.world + self.rank
            self.position += 1
            yield cases(batch * self.batch_size % self.num_cases, self.batch_size)


class Cases(pl.LightningDataModule):
    """For rollouts: an endless stream over ``num_cases`` cases, and two of them to validate on."""

    def __init__(self, batch_size: int = 2, num_cases: int = 64) -> None:
        super().__init__()
        self.batch_size, self.num_cases = batch_size, num_cases

    def train_dataloader(self) -> Any:
        assert self.trainer is not None
        rank, world = self.trainer.global_rank, self.trainer.world_size
        stream = EndlessCases(self.batch_size, rank, world, self.num_cases)
        return self.trainer.lightning_module.rollout_loader(stream)  # type: ignore[operator]

    def val_dataloader(self) -> DataLoader[EditBatch]:
        return batches([cases(500, 2)])


def batches(ready: list[Any]) -> DataLoader[Any]:
    """A loader of batches that are there already."""
    return DataLoader(ready, batch_size=None)  # type: ignore[arg-type]


class PictureReward(RolloutCallback):
    """Rewards red pictures; ``flat`` cases all get the same reward, ``missing`` ones none. Keeps every rollout."""

    def __init__(self, flat: tuple[str, ...] = (), missing: tuple[str, ...] = ()) -> None:
        self.flat, self.missing = flat, missing
        self.pictures: list[Tensor] = []
        self.rollouts: list[Rollout] = []
        self.after: Callable[[], None] = lambda: None  # called between rollout and training

    def on_rollout_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, num_samples: int) -> None:
        self.pictures = []

    def on_rollout_chunk(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, chunk: EditedBatch, start: int
    ) -> None:
        assert start == sum(map(len, self.pictures))
        self.pictures.append(chunk.images)

    def on_rollout_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, rollout: Rollout) -> None:
        images = torch.cat(self.pictures)
        rollout.score.copy_(5 * images[:, 0].mean((1, 2)))
        rollout.reward.copy_(images[:, 0].mean((1, 2)))
        for n, case in enumerate(rollout.case_id):
            if case in self.flat:
                rollout.reward[n] = 0.5
            if case in self.missing:
                rollout.score[n] = rollout.reward[n] = torch.nan
        self.rollouts.append(rollout)
        self.after()


class Recorder(pl.Callback):
    """Keeps what is trained on, by round."""

    def __init__(self) -> None:
        self.rounds: dict[int, list[Transition | Idle]] = defaultdict(list)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.rounds[trainer.current_epoch].append(batch)

    def transitions(self, round: int = 0) -> list[Transition]:
        return [batch for batch in self.rounds[round] if isinstance(batch, Transition)]

    def times(self, round: int) -> list[float]:
        """Return the distinct times of the round's steps."""
        return sorted({t for batch in self.transitions(round) for t in batch.t.tolist()})


def sgd(params: Any) -> torch.optim.SGD:
    """Unlike Adam's, its steps are proportional to the gradient: a wrong scale shows."""
    return torch.optim.SGD(params, lr=30.0, momentum=0.9)


def sgd_full(params: Any) -> torch.optim.SGD:
    """The same for all weights, whose gradients are larger than an adapter's."""
    return torch.optim.SGD(params, lr=3.0, momentum=0.9)


def smooth_adam(params: Any) -> torch.optim.AdamW:
    """Counters and moments as Adam has them, but an epsilon so large that steps are proportional to the gradient."""
    return torch.optim.AdamW(params, lr=0.3, eps=1e-2, weight_decay=0.0)


def adam(params: Any) -> torch.optim.AdamW:
    return torch.optim.AdamW(params, lr=3e-3, weight_decay=0.0)


LORA = LoRA(rank=4, alpha=8)

ROLLOUT = RolloutSettings(
    group_size=4, prompts_per_round=4, num_steps=4, window=SDEWindow(size=2), chunk_size=8
)


def grpo(folder: str, *, dtype: Any = "float32", **settings: Any) -> FlowGRPOModule:
    """A small FlowGRPOModule; ``settings`` are its own arguments."""
    defaults: dict[str, Any] = {
        "lora": LORA,
        "rollout": ROLLOUT,
        "loss": GRPOLoss(clip_low=0.2, clip_high=0.2),
        "updates_per_pass": 1,
        "micro_batch_size": 4,
        "eval": EvalSettings(num_steps=2),
    }
    return FlowGRPOModule(tiny_editor(folder, dtype), **(defaults | settings))


def trainer(rounds: int, callbacks: list[pl.Callback], **settings: Any) -> pl.Trainer:
    """A quiet Trainer on the CPU; sets torch's seed, which the adapter's first matrices are drawn from."""
    torch.manual_seed(0)
    defaults: dict[str, Any] = {
        "accelerator": "cpu",
        "devices": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "use_distributed_sampler": False,
        "num_sanity_val_steps": 0,
        "limit_val_batches": 0,
    }
    return pl.Trainer(max_epochs=rounds, callbacks=callbacks, **(defaults | settings))


def fit(
    module: FlowGRPOModule,
    reward: PictureReward,
    rounds: int = 2,
    batch_size: int = 2,
    callbacks: Sequence[pl.Callback] = (),
    ckpt_path: Any = None,
    **settings: Any,
) -> pl.Trainer:
    """Run ``rounds`` rounds; ``settings`` are the Trainer's."""
    run = trainer(rounds, [reward, *callbacks], **settings)
    run.fit(module, datamodule=Cases(batch_size), ckpt_path=ckpt_path, weights_only=True)
    return run


def trained(module: pl.LightningModule) -> dict[str, Tensor]:
    """Copies of the trained weights, whole where they are sharded."""
    weights = {name: p.detach() for name, p in module.named_parameters() if p.requires_grad}
    return {name: getattr(p, "full_tensor", lambda p=p: p)().clone() for name, p in weights.items()}


def perturb(module: Any) -> None:
    """Change the trained weights a little."""
    with torch.no_grad():
        for name, p in module.named_parameters():
            if "lora_B" in name:
                p.add_(0.03)


@dataclass
class Forwards:
    """Rows that a transformer was run on, by round: with gradient, and without."""

    training: Counter[int]
    sampling: Counter[int]


@contextmanager
def counted_forwards(module: Any) -> Iterator[Forwards]:
    """Count the rows that go through ``module``'s transformer inside the block; its weights are read if need be."""
    module.editor.load()
    count = Forwards(Counter(), Counter())

    def note(_: Any, args: Any, kwargs: dict[str, Any]) -> None:
        counter = count.training if torch.is_grad_enabled() else count.sampling
        counter[module.current_epoch] += kwargs["hidden_states"].shape[0]

    handle = module.editor.transformer.register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield count
    finally:
        handle.remove()
