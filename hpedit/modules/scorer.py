"""Fine-tuning a VLM on human ratings, so that it scores edits as people do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities import rank_zero_info
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor

from hpedit.calibration.metrics import figures
from hpedit.lora import LoRA
from hpedit.modules.guard import UpdateGuard
from hpedit.modules.optim import adamw, optimizers
from hpedit.scorers.prompts import BASE, load_prompts, render
from hpedit.scorers.rated import RatedBatch
from hpedit.scorers.rating_losses import digit_loss, expected_score, preference_loss
from hpedit.scorers.transformers_backend import chat_inputs, digit_ids, digit_logprobs, load_vlm

# The language model's attention, in Qwen2.5-VL and Qwen3-VL alike.
LORA_TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj"]


@dataclass(frozen=True)
class RatingLoss:
    """What the judge is trained for.

    Attributes:
        preference_weight: Weight of the pairwise loss beside the digits' cross-entropy; 0 leaves it out.
        min_gap: Least difference of rating, on the scale 0-5, between the edits of a pair.
    """

    preference_weight: float = 0.0
    min_gap: float = 0.5

    def __post_init__(self) -> None:
        if self.preference_weight < 0 or self.min_gap <= 0:
            raise ValueError(
                "--model.loss: wanted preference_weight >= 0 and min_gap > 0, "
                f"got {self.preference_weight} and {self.min_gap}"
            )


class ScorerModule(LightningModule):
    """Trains a vision-language model to answer with the digit that people would give.

    It is asked with the prompts and the chat template of HPScorer over TransformersBackend, so its expectation is
    the score that those will report. At the end of training the model is written to ``vlm`` in the run's folder, in
    transformers' format, which TransformersBackend and vLLM load.

    Args:
        model: Folder or hub id of an image-text-to-text checkpoint with a chat template (Qwen2.5-VL, Qwen3-VL).
        prompts: By dimension of the ratings, the folder of prompts that asks for it; null is the project's own.
        task_aware: Ask with each task's prompt; False asks the task-blind base prompt of everything.
        lora: The adapter to train; null trains all weights.
        loss: What is trained for.
        optimizer: Optimizer over the trained weights.
        lr_scheduler: Learning-rate schedule, stepped after every update; null keeps the rate.
        dtype: Precision of the weights: of the frozen ones with a LoRA; float32 where all are trained.
        export_dtype: Precision of the written model.
        max_pixels: Larger pictures are shrunk to this many pixels; the checkpoint's own bound by default.
        gradient_checkpointing: Recompute activations in the backward pass to save memory.
        max_skipped_updates: Updates in a row with a NaN gradient after which the run stops.
    """

    strict_loading = False  # pyright: ignore[reportAssignmentType]  # a checkpoint holds no frozen weights

    def __init__(
        self,
        model: str,
        prompts: dict[str, str | None] = {"overall": None},  # noqa: B006  # jsonargparse reads the default
        task_aware: bool = True,
        lora: LoRA | None = LoRA(),
        loss: RatingLoss = RatingLoss(),
        optimizer: OptimizerCallable = adamw,
        lr_scheduler: LRSchedulerCallable | None = None,
        dtype: Literal["float32", "bfloat16"] = "float32",
        export_dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16",
        max_pixels: int | None = None,
        gradient_checkpointing: bool = False,
        max_skipped_updates: int = 5,
    ) -> None:
        super().__init__()
        self.model = model
        self.prompts = {dimension: load_prompts(folder) for dimension, folder in prompts.items()}
        self.task_aware = task_aware
        self.lora = lora
        self.loss = loss
        self.make_optimizer = optimizer
        self.make_scheduler = lr_scheduler
        self.dtype_name = dtype
        self.export_dtype = export_dtype
        self.max_pixels = max_pixels
        self.gradient_checkpointing = gradient_checkpointing
        self.guard = UpdateGuard(max_skipped_updates)
        self.vlm: Any = None
        self.processor: Any = None
        self.seen: list[tuple[RatedBatch, Tensor]] = []

    def configure_model(self) -> None:
        if self.vlm is not None:
            return
        vlm, self.processor = load_vlm(self.model, getattr(torch, self.dtype_name))
        self.digits = digit_ids(self.processor.tokenizer, self.model)
        if self.gradient_checkpointing:
            vlm.gradient_checkpointing_enable()
        self.vlm = vlm if self.lora is None else _adapted(vlm, self.lora)

    def configure_optimizers(self) -> Any:
        return optimizers(self, self.make_optimizer, self.make_scheduler)

    def forward(self, batch: RatedBatch) -> Tensor:
        """Return the (n, 6) log-probabilities of the digits as the first answer token."""
        chats = [
            render(self._prompt(dimension, request.task), request)
            for request, dimension in zip(batch.requests, batch.dimension, strict=True)
        ]
        inputs = chat_inputs(self.processor, chats, self.max_pixels).to(self.device)
        return digit_logprobs(self.vlm, inputs, self.digits)

    def _prompt(self, dimension: str, task: str) -> Any:
        if dimension not in self.prompts:
            raise ValueError(
                f"--model.prompts: wanted a folder (or null) for each dimension of the data, got none for {dimension!r}"
            )
        return self.prompts[dimension][task if self.task_aware else BASE]

    def training_step(self, batch: RatedBatch, batch_idx: int) -> Tensor:
        logprobs = self(batch)
        loss, metrics = digit_loss(logprobs, batch.target)
        if self.loss.preference_weight > 0:
            score = expected_score(logprobs)
            pairs, more = preference_loss(score, batch.rating, batch.group, self.loss.min_gap)
            loss, metrics = loss + self.loss.preference_weight * pairs, metrics | more
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch))
        self.log_dict({f"train/{k}": m for k, m in metrics.items()}, batch_size=len(batch))
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        norm, rate = self.guard.check(self.parameters()), optimizer.param_groups[0]["lr"]
        self.log_dict(
            {"train/grad_norm": norm, "train/lr": rate, "train/skipped_updates": float(self.guard.skipped)}
        )

    def on_validation_epoch_start(self) -> None:
        self.seen = []

    def validation_step(self, batch: RatedBatch, batch_idx: int) -> None:
        logprobs = self(batch)
        loss, _ = digit_loss(logprobs, batch.target)
        self.log("val/loss", loss, batch_size=len(batch), sync_dist=True)
        self.seen.append((batch.to("cpu"), expected_score(logprobs).cpu()))

    def on_validation_epoch_end(self) -> None:
        """Log and print by dimension how well the scores agree with people's ratings, over this rank's edits."""
        for dimension in self.prompts:
            found = _agreement(self.seen, dimension)
            if found is None:
                continue
            shown = {k: v for k, v in found.items() if isinstance(v, float)}
            self.log_dict({f"val/{dimension}/{k}": v for k, v in shown.items()}, sync_dist=True)
            listed = "  ".join(f"{k} {v:.3f}" for k, v in shown.items())
            rank_zero_info(f"step {self.global_step}  {dimension}: {listed}")

    test_step = validation_step
    on_test_epoch_start = on_validation_epoch_start
    on_test_epoch_end = on_validation_epoch_end

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        trained = {name for name, p in self.named_parameters() if p.requires_grad}
        checkpoint["state_dict"] = {k: v for k, v in checkpoint["state_dict"].items() if k in trained}
        checkpoint["guard"] = self.guard.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.guard.load_state_dict(checkpoint["guard"])

    def on_fit_end(self) -> None:
        if self.trainer.is_global_zero and self.trainer.log_dir is not None:
            folder = self.export(Path(self.trainer.log_dir) / "vlm")
            rank_zero_info(f"the judge is in {folder}")

    def export(self, folder: str | Path) -> Path:
        """Write the model, a LoRA merged into it, and its processor, as transformers reads them."""
        if isinstance(self.vlm, PeftModel):
            self.vlm = self.vlm.merge_and_unload()
        before = self.vlm.dtype
        self.vlm.to(getattr(torch, self.export_dtype)).save_pretrained(folder)
        self.vlm.to(before)
        self.processor.save_pretrained(folder)
        return Path(folder)


def _adapted(vlm: Any, lora: LoRA) -> PeftModel:
    """Freeze the model and add the trainable adapter to it."""
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # pyright: ignore[reportArgumentType]  # annotated int, any number works
        target_modules=lora.targets or LORA_TARGETS,
        init_lora_weights="gaussian" if lora.init == "gaussian" else True,
    )
    model: Any = get_peft_model(vlm, config, autocast_adapter_dtype=False)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(getattr(torch, lora.dtype))
    return model


def _agreement(seen: list[tuple[RatedBatch, Tensor]], dimension: str) -> dict[str, Any] | None:
    """Return hpedit.calibration.metrics.figures over the rows of a dimension; None where there is none."""
    rows = [
        (float(score), float(rating), request.case_id)
        for batch, scores in seen
        for score, rating, request, d in zip(
            scores, batch.rating, batch.requests, batch.dimension, strict=True
        )
        if d == dimension
    ]
    return figures(*map(list, zip(*rows, strict=True))) if rows else None
