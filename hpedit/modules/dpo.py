"""Diffusion-DPO: offline post-training on pairs of a preferred and a rejected edit of the same case."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor

from hpedit.editors.base import Editor
from hpedit.flow import TimeDistribution, interpolate, sample_training_time
from hpedit.lora import LoRA
from hpedit.losses import diffusion_dpo_loss, squared_error_rows
from hpedit.modules import checkpoint as ckpt
from hpedit.modules.guard import UpdateGuard
from hpedit.modules.optim import adamw, optimizers
from hpedit.modules.policy import Policy
from hpedit.noise import keyed_generator
from hpedit.sampling import EvalSettings, edit_cases
from hpedit.types import Conditioning, EditBatch, EditedBatch, Guidance, PreferenceBatch


class DPOModule(LightningModule):
    """Trains an editor to prefer the better of two edits (Diffusion-DPO in velocity form; paper, Table S5).

    Args:
        editor: The editor to align.
        lora: The adapter to train, with the adapter switched off as the reference; null trains all weights
            against a frozen copy.
        beta: Strength of the preference, for squared errors averaged over the latent dimensions. A beta meant for
            sums over D dimensions is D times smaller.
        lose_weight: Weight of the rejected edit's error; below 1 keeps the preferred edit from getting worse too.
        sft_weight: Weight of a flow-matching anchor on the preferred edit.
        optimizer: Optimizer over the trained weights.
        lr_scheduler: Learning-rate schedule, stepped after every update; null keeps the rate.
        time_sampling: How training times are drawn from (0, 1); one time and one noise are shared by a pair.
        embedded_guidance: Scale fed to a guidance-distilled model while training; null where the model has none.
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
        beta: float = 2000.0,
        lose_weight: float = 1.0,
        sft_weight: float = 0.0,
        optimizer: OptimizerCallable = adamw,
        lr_scheduler: LRSchedulerCallable | None = None,
        time_sampling: TimeDistribution = "logit_normal",
        embedded_guidance: float | None = None,
        eval: EvalSettings = EvalSettings(),
        gradient_checkpointing: bool = False,
        compile_blocks: bool = False,
        max_skipped_updates: int = 5,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.editor = editor
        self.lora = lora
        self.beta = beta
        self.lose_weight = lose_weight
        self.sft_weight = sft_weight
        self.make_optimizer = optimizer
        self.make_scheduler = lr_scheduler
        self.time_sampling: TimeDistribution = time_sampling
        self.guidance = Guidance(embedded=embedded_guidance)
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
                keep_reference=True,
                gradient_checkpointing=self.gradient_checkpointing,
                compile_blocks=self.compile_blocks,
                mesh=None if self.device_mesh is None else self.device_mesh["data_parallel"],
            )

    def configure_optimizers(self) -> Any:
        return optimizers(self, self.make_optimizer, self.make_scheduler)

    @torch.no_grad()
    def encode(self, batch: PreferenceBatch) -> tuple[Conditioning, Tensor]:
        """Return the conditioning of 2B rows and the latents (2B, L, C), preferred edits first.

        Encoded anew at every pass. Nothing is kept: of the operations of a step at full size (512 x 512; two passes
        of the transformer forward, one of them backward, over twice the rows) this is about 3 %, and what a later
        pass found encoded in other batches would differ in its last digits after a resume. On the miniature, whose
        transformer is small beside its autoencoder, it is two fifths.
        """
        self.editor.place(self.device)
        rows = self.editor.encode(batch.cases, negative=False)
        x_0 = self.editor.encode_target(torch.cat([batch.preferred, batch.rejected]))
        return self.editor.collate([*rows, *rows]), x_0

    def training_step(self, batch: PreferenceBatch, batch_idx: int) -> Tensor:
        assert self.policy is not None
        cond, x_0 = self.encode(batch)
        draw = keyed_generator("dpo", self.seed, self.current_epoch, batch_idx, self.global_rank)
        t = sample_training_time(len(batch), self.time_sampling, draw).repeat(2).to(x_0.device)
        eps = torch.randn((len(batch), *x_0.shape[1:]), generator=draw).repeat(2, 1, 1).to(x_0.device)
        x_t = interpolate(x_0, eps, t)
        err = squared_error_rows(self.editor.velocity(x_t, t, cond, self.guidance), x_0, eps)
        with torch.no_grad(), self.policy.reference():
            err_ref = squared_error_rows(self.editor.velocity(x_t, t, cond, self.guidance), x_0, eps)
        (err_w, err_l), (err_w_ref, err_l_ref) = err.chunk(2), err_ref.chunk(2)
        loss, metrics = diffusion_dpo_loss(
            err_w, err_l, err_w_ref, err_l_ref, self.beta, self.lose_weight, self.sft_weight
        )
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch))
        self.log_dict({f"train/{name}": value for name, value in metrics.items()}, batch_size=len(batch))
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        self.log_dict(self.guard.before_update(self.parameters(), optimizer))

    def validation_step(self, batch: EditBatch | PreferenceBatch, batch_idx: int) -> EditedBatch:
        """Edit cases, or the cases of held-out pairs, for an HP-Scorer to score."""
        cases = batch.cases if isinstance(batch, PreferenceBatch) else batch
        return edit_cases(self.editor, cases, self.eval_settings, self.device)

    test_step = validation_step  # pyright: ignore[reportAssignmentType]  # a callback takes the edits
    predict_step = validation_step

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        ckpt.write(checkpoint, self)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        ckpt.read(checkpoint, self)
