"""Two rounds of post-training against numbers on file, so that no change to them goes unnoticed.

After a change that is meant to alter them, ``HPEDIT_WRITE_GOLDEN=1 pytest tests/modules/test_golden.py`` writes the
file anew, to be committed with the reason. The tolerances are for other processors; one machine repeats itself.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hpedit.modules.grpo import GRPOLoss
from tests.modules import support

GOLDEN = Path(__file__).parents[1] / "golden" / "grpo_tiny_cpu.txt"


class Losses(support.pl.Callback):
    """Keeps what every update came to, in full precision."""

    def __init__(self) -> None:
        self.figures: dict[str, float] = {}
        self.loss = 0.0

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.loss += float(outputs["loss"])
        if (batch_idx + 1) % trainer.accumulate_grad_batches == 0:
            update = f"update {trainer.global_step}"
            self.figures[f"{update} loss"], self.loss = self.loss, 0.0
            self.figures[f"{update} adapter"] = _norm(
                [w for n, w in support.trained(pl_module).items() if "lora_B" in n]
            )

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        grads = [p.grad for p in pl_module.parameters() if p.grad is not None]
        self.figures[f"update {trainer.global_step + 1} gradient"] = _norm(grads)


def _norm(tensors: list[Tensor]) -> float:
    return float(torch.cat([t.flatten().double() for t in tensors]).norm())


def trained_figures(checkpoint: str) -> dict[str, float]:
    module = support.grpo(
        checkpoint,
        loss=GRPOLoss(clip_low=0.2, clip_high=0.2, kl_weight=0.1),
        rollout=replace(support.ROLLOUT, sde="cps", true_cfg=2.0),
        updates_per_pass=2,
        optimizer=support.sgd,
    )
    reward, losses = support.PictureReward(), Losses()
    support.fit(module, reward, 2, callbacks=[losses], gradient_clip_val=1e-3)
    figures = {f"round {r.round} reward": float(r.reward.double().mean()) for r in reward.rollouts}
    figures |= {f"round {r.round} spread": float(r.reward.double().std()) for r in reward.rollouts}
    return figures | losses.figures


def test_training_comes_to_the_numbers_on_file(checkpoint: str):
    figures = trained_figures(checkpoint)
    if os.environ.get("HPEDIT_WRITE_GOLDEN"):
        GOLDEN.write_text("".join(f"{name} = {value!r}\n" for name, value in figures.items()))
    golden = dict(line.split(" = ") for line in GOLDEN.read_text().splitlines())
    assert figures.keys() == golden.keys()
    for name, value in golden.items():
        # The rewards of a group agree to 3e-4, and losses are sums over both signs: rounding reaches them first.
        slack = 1e-4 if name.endswith("loss") else 0.0
        assert figures[name] == pytest.approx(float(value), rel=3e-3, abs=slack), name
