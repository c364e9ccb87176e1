"""What a Flow-GRPO round costs: images a second, its split, its share of the device's peak, its memory.

    python -m benchmarks.round                  # the miniature, on the CPU
    python -m benchmarks.round --size full      # Qwen-Image-Edit-2509 at full size with random weights, on a GPU

It runs FlowGRPOModule, RolloutLoader and RewardCallback under Lightning's Trainer as ``train.py fit`` does.
"""

from __future__ import annotations

import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import lightning.pytorch as pl
import torch
from jsonargparse import auto_cli

from benchmarks.counting import CountedEditor, RandomEditor, Recorder, matmul_peak
from benchmarks.full_size import FullSize
from benchmarks.pictures import INSTRUCTIONS, write_random_cases
from callbacks.reward import RewardCallback
from datamodules.real_pref import RealPrefDataModule
from hpedit.lora import LoRA
from hpedit.miniature.checkpoint import CONDITION_SIDE, new_autoencoder, write_untrained
from hpedit.modules.grpo import FlowGRPOModule
from hpedit.rollout import RolloutSettings
from hpedit.scorers.base import Score, ScoreRequest
from hpedit.window import SDEWindow

PHASES = ("encode", "rollout", "decode", "reward_wait", "update")


@dataclass(frozen=True)
class Workload:
    """One round.

    Attributes:
        prompts, group: cases, and edits of each.
        steps, window: denoising steps, and how many of them are stochastic and trained.
        resolution: side of a picture in pixels; the reference is as large.
        chunk: edits sampled together.
        rows: (edit, step) pairs of a micro-batch.
        checkpointing: recompute activations in the backward pass.
    """

    prompts: int
    group: int
    steps: int
    window: int
    resolution: int
    chunk: int
    rows: int
    checkpointing: bool


QUICKSTART = Workload(12, 12, 6, 3, 64, 48, 36, False)
PRESET = Workload(2, 8, 10, 3, 512, 8, 4, True)


class PicturelessScorer:
    """Scores by a running number after ``seconds``: every group has spread, and a call costs what is asked for."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.asked = 0

    def check(self) -> None:
        pass

    def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        time.sleep(self.seconds)
        self.asked += len(requests)
        return [Score(float((self.asked + i) % 6)) for i in range(len(requests))]


@dataclass(frozen=True)
class Outcome:
    """Figures of a round, medians over the measured ones.

    Attributes:
        seconds, flops: by phase; the operations of one round.
        round_s: all of it.
        images: edits sampled.
        gigabytes: peak memory, of the GPU where there is one, else of this process since it began.
    """

    seconds: dict[str, float]
    flops: dict[str, float]
    round_s: float
    images: int
    gigabytes: float


def measure(
    module: FlowGRPOModule,
    work: Workload,
    true_cfg: float,
    rounds: int,
    device: torch.device,
    judge_seconds: float,
) -> Outcome:
    """Run one uncounted round and ``rounds`` measured ones."""
    module.rollout = replace(module.rollout, true_cfg=true_cfg)
    assert isinstance(module.editor, CountedEditor)
    recorder = Recorder(module.editor)
    with tempfile.TemporaryDirectory() as folder:
        cases = write_random_cases(Path(folder, "cases.parquet"), max(32, work.prompts), work.resolution)
        data = RealPrefDataModule(
            str(cases), batch_size=min(work.prompts, 12), resolution=work.resolution, num_workers=0
        )
        trainer = pl.Trainer(
            accelerator="gpu" if device.type == "cuda" else "cpu",
            devices=1,
            precision="bf16-mixed" if device.type == "cuda" else "32-true",
            max_epochs=1 + rounds,
            callbacks=[RewardCallback(PicturelessScorer(judge_seconds)), recorder],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        trainer.fit(module, datamodule=data)

    def middle(name: str) -> float:
        return statistics.median(times[f"time/{name}_s"] for times in recorder.times)

    return Outcome(
        seconds={phase: middle(phase) for phase in PHASES},
        flops=recorder.flops,
        round_s=middle("round"),
        images=work.prompts * work.group,
        gigabytes=_peak_gigabytes(device),
    )


def build(editor: CountedEditor, work: Workload) -> FlowGRPOModule:
    return FlowGRPOModule(
        editor,
        LoRA(rank=32, alpha=64),
        RolloutSettings(
            group_size=work.group,
            prompts_per_round=work.prompts,
            num_steps=work.steps,
            window=SDEWindow(size=work.window, mode="fixed"),
            chunk_size=work.chunk,
        ),
        micro_batch_size=work.rows,
        gradient_checkpointing=work.checkpointing,
        updates_per_pass=2,
        # The same few cases again and again teach nothing, and large steps would end in NaN.
        ratio_tolerance=float("inf"),
    )


def miniature_editor(folder: Path) -> CountedEditor:
    """Return the quickstart's editor, untrained: what it costs does not depend on its weights."""
    model = write_untrained(folder, new_autoencoder())
    return CountedEditor(
        str(model),
        "float32",
        reference_area=QUICKSTART.resolution**2,
        condition_area=CONDITION_SIDE**2,
    )


def report(outcomes: dict[float, Outcome], peak: float) -> str:
    """Return Markdown: one row for each guidance scale, then its phases."""
    lines = [
        "| true CFG | images/s | sampled/s | s/round | encode | rollout | decode | reward wait | update | peak GB |"
    ]
    lines.append("|---:" * 10 + "|")
    for cfg, o in outcomes.items():
        sampling = o.round_s - o.seconds["update"]
        shares = " | ".join(f"{o.seconds[phase] / o.round_s:.0%}" for phase in PHASES)
        speeds = f"{o.images / o.round_s:.3g} | {o.images / sampling:.3g} | {o.round_s:.3g}"
        lines.append(f"| {cfg:g} | {speeds} | {shares} | {o.gigabytes:.3g} |")
    lines += ["", f"Measured matmul peak: {peak / 1e12:.3g} TFLOP/s.", ""]
    lines += ["| true CFG | phase | s | TFLOP | TFLOP/s | of peak |", "|---:|---|---:|---:|---:|---:|"]
    for cfg, o in outcomes.items():
        for phase, flops in sorted(o.flops.items(), key=lambda item: PHASES.index(item[0])):
            speed = flops / o.seconds[phase]
            figures = f"{o.seconds[phase]:.3g} | {flops / 1e12:.3g} | {speed / 1e12:.3g} | {speed / peak:.0%}"
            lines.append(f"| {cfg:g} | {phase} | {figures} |")
    first, *others = outcomes.items()
    for cfg, o in others:
        lines += [
            "",
            f"A round with true CFG {cfg:g} takes {o.round_s / first[1].round_s:.2f} times that with {first[0]:g}.",
        ]
    return "\n".join(lines)


def main(
    size: Literal["miniature", "full"] = "miniature",
    true_cfg: list[float] = [1.0, 4.0],  # noqa: B006
    rounds: int = 2,
    device: str | None = None,
    judge_seconds: float = 0.0,
) -> None:
    """Measure rounds and print Markdown.

    Args:
        size: The quickstart's workload on the miniature, or 512 x 512, 10 steps, window 3 on the full-size editor.
        true_cfg: Guidance scales to measure, one after the other on the same weights.
        rounds: Measured rounds of each, after one to warm up.
        device: "cuda" or "cpu"; null takes the GPU where there is one, for the full size.
        judge_seconds: How long the scorer takes for a call of 16 edits.
    """
    place = torch.device(device or ("cuda" if size == "full" else "cpu"))
    if place.type == "cuda" and not torch.cuda.is_available():
        sys.exit("benchmarks.round: --size full wants a CUDA device, got none; --device cpu would take days")
    dtype = torch.bfloat16 if place.type == "cuda" else torch.float32
    with tempfile.TemporaryDirectory() as folder:
        if size == "full":
            work = PRESET
            editor = RandomEditor(FullSize(), place, "bfloat16", work.resolution**2, INSTRUCTIONS)
        else:
            work, editor = QUICKSTART, miniature_editor(Path(folder))
        module = build(editor, work)
        peak = matmul_peak(place, dtype)
        outcomes = {cfg: measure(module, work, cfg, rounds, place, judge_seconds) for cfg in true_cfg}
    name = (
        torch.cuda.get_device_name(place)
        if place.type == "cuda"
        else f"{torch.get_num_threads()} CPU thread(s)"
    )
    print(f"{size} on {name}, torch {torch.__version__}, {work}\n")
    print(report(outcomes, peak))


def _peak_gigabytes(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


if __name__ == "__main__":
    auto_cli(main, as_positional=False)
