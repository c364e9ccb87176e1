"""Arithmetic done and arithmetic possible: floating-point operations of a round, and the device's measured peak."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.full_size import FullSize, random_pipeline
from hpedit.editors.qwen import QwenConditioning
from hpedit.editors.qwen_image_edit_plus import QwenImageEditPlusEditor
from hpedit.rollout import RolloutCallback
from hpedit.types import EditBatch, Guidance


class CountedEditor(QwenImageEditPlusEditor):
    """Adds up the operations of encoding, rollout and decoding in ``flops``, while that is not None."""

    flops: dict[str, float] | None = None

    def encode(self, batch: EditBatch, negative: bool) -> list[QwenConditioning]:
        with self._counted("encode"):
            return super().encode(batch, negative)

    def velocity(self, x_t: Tensor, t: Tensor, cond: QwenConditioning, guidance: Guidance) -> Tensor:
        if torch.is_grad_enabled():
            return super().velocity(x_t, t, cond, guidance)  # counted with its backward pass, by the recorder
        with self._counted("rollout"):
            return super().velocity(x_t, t, cond, guidance)

    def decode(self, x_0: Tensor, size: tuple[int, int]) -> Tensor:
        with self._counted("decode"):
            return super().decode(x_0, size)

    @contextmanager
    def _counted(self, phase: str) -> Iterator[None]:
        if self.flops is None:
            yield
            return
        with FlopCounterMode(display=False) as counter:
            yield
        self.flops[phase] = self.flops.get(phase, 0.0) + counter.get_total_flops()


class RandomEditor(CountedEditor):
    """The editor at a size of choice with random weights, built on ``device``."""

    def __init__(
        self, size: FullSize, device: torch.device, dtype: Any, reference_area: int, corpus: list[str]
    ) -> None:
        super().__init__("random weights", dtype, reference_area=reference_area)
        self.size, self.device, self.corpus = size, device, corpus

    def load(self) -> None:
        if self._pipeline is None:
            self._pipeline = random_pipeline(self.size, self.device, self.dtype, self.corpus)


class Recorder(RolloutCallback):
    """Counts operations in the first round, which also warms up, and keeps the times of the others."""

    def __init__(self, editor: CountedEditor) -> None:
        self.editor = editor
        self.flops: dict[str, float] = {}
        self.times: list[dict[str, float]] = []

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.editor.flops = self.flops if trainer.current_epoch == 0 else None

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if trainer.current_epoch == 0:
            self.counter = FlopCounterMode(display=False)
            self.counter.__enter__()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.current_epoch == 0:
            self.counter.__exit__(None, None, None)
            self.flops["update"] = self.flops.get("update", 0.0) + self.counter.get_total_flops()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch > 0:
            self.times.append(dict(pl_module.round_metrics))  # type: ignore[arg-type]


def matmul_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Return the operations per second of a large matrix product, the best of several."""
    side, repeats = (8192, 20) if device.type == "cuda" else (1024, 4)
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(5):
        start = _now(device)
        for _ in range(repeats):
            torch.mm(a, b)
        best = min(best, (_now(device) - start) / repeats)
    return 2 * side**3 / best


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
