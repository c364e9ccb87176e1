"""How far ratios are from 1 before the first update, by precision and by the sizes of chunk and micro-batch.

    python -m benchmarks.ratio

Whole rounds of FlowGRPOModule under Lightning's Trainer at a learning rate of 0, so that every (edit, step) pair of a
round is seen by unchanged weights. The adapter is random and not zero: a policy in the midst of its training.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from jsonargparse import auto_cli

from benchmarks.pictures import INSTRUCTIONS, write_random_cases
from benchmarks.round import PicturelessScorer
from callbacks.reward import RewardCallback
from datamodules.real_pref import RealPrefDataModule
from hpedit.editors.flux_kontext import FluxKontextEditor
from hpedit.editors.qwen_image_edit_plus import QwenImageEditPlusEditor
from hpedit.lora import LoRA
from hpedit.miniature.architectures import TransformerSize
from hpedit.miniature.random_checkpoints import make_flux_kontext, make_qwen_image_edit_plus
from hpedit.modules.grpo import FlowGRPOModule
from hpedit.rollout import RolloutCallback, RolloutSettings
from hpedit.types import Rollout

# Lightning's precision and the dtype of the frozen weights.
PRECISIONS: dict[str, tuple[Any, Literal["float32", "bfloat16"]]] = {
    "fp32": ("32-true", "float32"),
    "bf16-mixed, fp32 base": ("bf16-mixed", "float32"),
    "bf16-mixed, bf16 base": ("bf16-mixed", "bfloat16"),
    "32-true, bf16 base": ("32-true", "bfloat16"),
}
EDITORS: list[tuple[Literal["qwen", "kontext"], float]] = [("qwen", 1.0), ("qwen", 4.0), ("kontext", 1.0)]
"""(editor, true CFG)"""

SHAPES = [(8, 8), (8, 1), (2, 8)]
"""(chunk, micro-batch): equal, and each much smaller than the other."""


@dataclass(frozen=True)
class Setting:
    """One round to measure.

    ``model`` is a folder with a tiny checkpoint; ``fault`` scales the adapter between rollout and training, so that 1
    is a sound run and 0 one that lost its adapter.
    """

    editor: Literal["qwen", "kontext"]
    model: Path
    precision: str
    side: int
    true_cfg: float
    chunk: int
    rows: int
    fault: float = 1.0


class RandomAdapter(RolloutCallback):
    """Gives every weight of the adapter a random value, and after the rollout scales them all by ``fault``."""

    def __init__(self, fault: float = 1.0) -> None:
        self.fault = fault

    @torch.no_grad()
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        draw = torch.Generator().manual_seed(0)
        for p in filter(lambda p: p.requires_grad, pl_module.parameters()):
            p.copy_(0.05 * torch.randn(p.shape, generator=draw))

    @torch.no_grad()
    def on_rollout_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, rollout: Rollout) -> None:
        for p in filter(lambda p: p.requires_grad, pl_module.parameters()):
            p.mul_(self.fault)


def measure(setting: Setting, cases: Path) -> float:
    """Return the largest |ratio - 1| of a round."""
    precision, dtype = PRECISIONS[setting.precision]
    module = FlowGRPOModule(
        _editor(setting, dtype),
        LoRA(rank=8, alpha=16),
        RolloutSettings(
            group_size=8,
            prompts_per_round=2,
            num_steps=10,
            true_cfg=setting.true_cfg,
            embedded_guidance=2.5 if setting.editor == "kontext" else None,
            noise_level=0.9,
            chunk_size=setting.chunk,
        ),
        optimizer=_no_step,
        updates_per_pass=1,
        micro_batch_size=setting.rows,
        ratio_tolerance=float("inf"),
    )
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=1,
        precision=precision,
        max_epochs=1,
        callbacks=[RewardCallback(PicturelessScorer(0.0)), RandomAdapter(setting.fault)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    data = RealPrefDataModule(str(cases), batch_size=2, resolution=setting.side, num_workers=0)
    trainer.fit(module, datamodule=data)
    seen = trainer.callback_metrics
    return max(abs(float(seen[f"train/ratio_{end}"]) - 1) for end in ("min", "max"))


def _editor(setting: Setting, dtype: Literal["float32", "bfloat16"]) -> Any:
    area = setting.side**2
    if setting.editor == "kontext":
        return FluxKontextEditor(str(setting.model), dtype, reference_area=area, max_text_length=64)
    return QwenImageEditPlusEditor(str(setting.model), dtype, reference_area=area, condition_area=3136)


def _no_step(params: Any) -> torch.optim.SGD:
    return torch.optim.SGD(params, lr=0.0)


def settings(models: dict[str, Path], sides: list[int], only: str) -> Iterator[Setting]:
    """Yield every precision with every shape on both editors, with CFG on the one that has it; then two faults."""
    for editor, cfg in EDITORS:
        for side, precision, (chunk, rows) in itertools.product(sides, PRECISIONS, SHAPES):
            if only in precision:
                yield Setting(editor, models[editor], precision, side, cfg, chunk, rows)
    for (editor, cfg), side, fault in itertools.product(EDITORS, sides, (0.99, 0.0)):
        if only in "fp32":
            yield Setting(editor, models[editor], "fp32", side, cfg, *SHAPES[0], fault)


def main(sides: list[int] = [64], layers: int = 4, only: str = "") -> None:  # noqa: B006
    """Measure and print a Markdown table, row by row.

    Args:
        sides: Sides of the edits, in pixels.
        layers: Layers of the tiny transformers.
        only: Part of a precision's name; the others are left out.
    """
    print(
        "| editor | side | true CFG | precision | chunk | micro-batch | adapter x | largest abs(ratio - 1) |"
    )
    print("|---|---:|---:|---|---:|---:|---:|---:|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        size = TransformerSize(layers=layers, single_layers=layers)
        models = {
            "qwen": make_qwen_image_edit_plus(Path(folder, "qwen"), size, corpus=INSTRUCTIONS),
            "kontext": make_flux_kontext(Path(folder, "kontext"), size, corpus=INSTRUCTIONS),
        }
        cases = write_random_cases(Path(folder, "cases.parquet"), 16, max(sides))
        for s in settings(models, sides, only):
            error = f"{measure(s, cases):.1e}"
            row = (s.editor, s.side, f"{s.true_cfg:g}", s.precision, s.chunk, s.rows, s.fault, error)
            print(f"| {' | '.join(map(str, row))} |", flush=True)


if __name__ == "__main__":
    auto_cli(main, as_positional=False)
