"""Supervised fine-tuning: flow matching on (source, instruction, edited picture) triplets."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor

from hpedit.editors.base import Editor
from hpedit.flow import TimeDistribution, interpolate, sample_training_time
from hpedit.lora import LoRA
from hpedit.losses import flow_matching_loss
from hpedit.modules import checkpoint as ckpt
from hpedit.modules.guard import UpdateGuard
from hpedit.modules.optim import adamw, optimizers
from hpedit.modules.policy import Policy
from hpedit.noise import keyed_generator
from hpedit.sampling import EvalSettings, edit_cases
from hpedit.types import Conditioning, EditBatch, EditedBatch, Guidance


class SFTModule(LightningModule):
    """Trains an editor to reproduce the edited pictures of its data (flow matching, paper eq. 2).

    Args:
        editor: The editor to fine-tune.
        lora: The adapter to train; null trains all weights.
        optimizer: Optimizer over the trained weights.
        lr_scheduler: Learning-rate schedule, stepped after every update; null keeps the rate.
        time_sampling: How training times are drawn from (0, 1).
        embedded_guidance: Scale fed to a guidance-distilled model while training; null where the model has none.
        cache_conditions: Keep every case's encoded condition and target in memory after its first use. Pays when
            the data fit and are seen more than once.
        eval: How validation, test and prediction sample edits.
        gradient_checkpointing: Recompute activations in the backward pass to save memory.
        compile_blocks: Compile the transformer's repeated blocks.
        max_skipped_updates: Updates in a row with a NaN gradient after which the run stops.
        seed: Seed of training times and noise.
    """

    strict_loading = False  # pyright: ignore[reportAssignmentType]  # a checkpoint holds no frozen weights

    def __init__(
        self,
        editor: Editor,
        lora: LoRA | None = LoRA(),
        optimizer: OptimizerCallable = adamw,
        lr_scheduler: LRSchedulerCallable | None = None,
        time_sampling: TimeDistribution = "logit_normal",
        embedded_guidance: float | None = None,
        cache_conditions: bool = False,
        eval: EvalSettings = EvalSettings(),
        gradient_checkpointing: bool = False,
        compile_blocks: bool = False,
        max_skipped_updates: int = 5,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.editor = editor
        self.lora = lora
        self.make_optimizer = optimizer
        self.make_scheduler = lr_scheduler
        self.time_sampling: TimeDistribution = time_sampling
        self.guidance = Guidance(embedded=embedded_guidance)
        self.cache: dict[str, tuple[Conditioning, Tensor]] | None = {} if cache_conditions else None
        self.eval_settings = eval
        self.gradient_checkpointing = gradient_checkpointing
        self.compile_blocks = compile_blocks
        self.guard = UpdateGuard(max_skipped_updates)
        self.seed = seed
        self.policy: Policy | None = None

    def configure_model(self) -> None:
        if self.policy is None:
            self.policy = Policy(
                self.editor,
                self.lora,
                gradient_checkpointing=self.gradient_checkpointing,
                compile_blocks=self.compile_blocks,
                mesh=None if self.device_mesh is None else self.device_mesh["data_parallel"],
            )

    def configure_optimizers(self) -> Any:
        return optimizers(self, self.make_optimizer, self.make_scheduler)

    @torch.no_grad()
    def encode(self, batch: EditBatch) -> tuple[Conditioning, Tensor]:
        """Return the collated conditioning and the target latents x_0 (B, L, C) of a batch."""
        if batch.target is None:
            raise ValueError(
                f"case {batch.case_id[0]}: SFT wants an edited picture (column 'target'), got none"
            )
        cache = {} if self.cache is None else self.cache
        new = [i for i, case in enumerate(batch.case_id) if case not in cache]
        if new:
            self.editor.place(self.device)
            fresh = batch.select(new)
            assert fresh.target is not None
            rows = zip(
                self.editor.encode(fresh, negative=False),
                self.editor.encode_target(fresh.target),
                strict=True,
            )
            cache.update(zip(fresh.case_id, rows, strict=True))
        pairs = [cache[case] for case in batch.case_id]
        return self.editor.collate([cond for cond, _ in pairs]), torch.stack([x_0 for _, x_0 in pairs])

    def training_step(self, batch: EditBatch, batch_idx: int) -> Tensor:
        cond, x_0 = self.encode(batch)
        key = ("sft", self.seed, self.current_epoch, batch_idx, self.global_rank)
        draw = keyed_generator(*key)
        t = sample_training_time(len(batch), self.time_sampling, draw).to(x_0.device)
        eps = torch.randn(x_0.shape, generator=draw).to(x_0.device)
        v = self.editor.velocity(interpolate(x_0, eps, t), t, cond, self.guidance)
        loss, metrics = flow_matching_loss(v, x_0, eps)
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch))
        self.log_dict({f"train/{k}": m for k, m in metrics.items()}, batch_size=len(batch))
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        self.log_dict(self.guard.before_update(self.parameters(), optimizer))

    def validation_step(self, batch: EditBatch, batch_idx: int) -> EditedBatch:
        return edit_cases(self.editor, batch, self.eval_settings, self.device)

    test_step = validation_step  # pyright: ignore[reportAssignmentType]  # a callback takes the edits
    predict_step = validation_step

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        ckpt.write(checkpoint, self)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        ckpt.read(checkpoint, self)
