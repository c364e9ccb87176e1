"""Small real runs through the command line, in processes that can be killed."""

from __future__ import annotations

import io
import multiprocessing
import os
import runpy
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hpedit.cases import Case
from hpedit.pictures import Picture
from hpedit.records import write_cases
from hpedit.tasks import TASKS

# One process pays for the imports; every run is forked from it.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "train",
        "callbacks.ema",
        "callbacks.summary",
        "datamodules.real_pref",
        "hpedit.editors.qwen_image_edit_plus",
        "hpedit.modules.grpo",
        "hpedit.modules.sft",
    ]
)

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 4


def noise_picture(seed: int, side: int = 64) -> Picture:
    """A smooth random picture."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC).save(buffer, format="PNG")
    return Picture(buffer.getvalue())


def write_data(path: Path, first: int, count: int) -> str:
    """Write cases with targets; instructions differ in length."""
    cases = [
        Case(
            case_id=f"case-{i}",
            task=TASKS[i % len(TASKS)],
            instruction="Paint the big red cube blue" + " and green" * (i % 3),
            source=noise_picture(i),
            target=noise_picture(1000 + i),
        )
        for i in range(first, first + count)
    ]
    write_cases(path, cases)
    return str(path)


def config(editor: str, data: str, val_data: str, module: str = "grpo") -> dict[str, Any]:
    """A run of ROUNDS rounds (or passes) with everything that has to go on exactly: EMA, schedule, random window."""
    callbacks = [
        {
            "class_path": "lightning.pytorch.callbacks.ModelCheckpoint",
            "init_args": {"every_n_epochs": 1, "save_on_train_epoch_end": True},
        },
        {"class_path": "callbacks.ema.TrainedWeightsEMA"},
        {"class_path": "callbacks.summary.RunSummary"},
    ]
    trainer = {
        "accelerator": "cpu",
        "devices": 1,
        "max_epochs": ROUNDS,
        "gradient_clip_val": 1.0,
        "check_val_every_n_epoch": 2,
        "num_sanity_val_steps": -1,
        "log_every_n_steps": 1,
        "enable_model_summary": False,
        "enable_progress_bar": False,
        "callbacks": callbacks,
    }
    schedule = {"class_path": "torch.optim.lr_scheduler.LinearLR", "init_args": {"total_iters": 8}}
    qwen = {
        "class_path": "hpedit.editors.qwen_image_edit_plus.QwenImageEditPlusEditor",
        "init_args": {"model": editor, "dtype": "float32", "reference_area": 4096, "condition_area": 784},
    }
    model = {
        "editor": qwen,
        "lora": {"rank": 4, "alpha": 8},
        "lr_scheduler": schedule,
        "eval": {"num_steps": 2},
    }
    if module == "grpo":
        model |= {
            "rollout": {
                "group_size": 2,
                "prompts_per_round": 4,
                "num_steps": 4,
                "window": {"size": 1, "start": 0, "mode": "random"},
                "chunk_size": 4,
            },
            "loss": {"kl_weight": 0.01},
            "micro_batch_size": 2,
        }
    path = {"grpo": "hpedit.modules.grpo.FlowGRPOModule", "sft": "hpedit.modules.sft.SFTModule"}[module]
    return {
        "seed_everything": 0,
        "trainer": trainer,
        "model": {"class_path": path, "init_args": model},
        "data": {
            "class_path": "datamodules.real_pref.RealPrefDataModule",
            "init_args": {
                "data": data,
                "val_data": val_data,
                "batch_size": 2,
                "val_batch_size": 2,
                "resolution": 64,
                "num_workers": 0,
            },
        },
        "reward": {"scorers": {"class_path": "tests.support.scorers.BrightnessScorer"}},
    }


def save(settings: Mapping[str, Any], path: Path) -> str:
    path.write_text(yaml.safe_dump(dict(settings), sort_keys=False))
    return str(path)


@dataclass(frozen=True)
class Outcome:
    """How a command ended, and all it said."""

    code: int
    output: str


def start(args: list[str], output: Path, environment: Mapping[str, str] | None = None) -> BaseProcess:
    """Start ``python train.py ARGS`` in a process of its own, what it says going to a file."""
    process = _CONTEXT.Process(target=_command, args=(args, str(output), dict(environment or {})))
    process.start()
    return process


def finish(args: list[str], environment: Mapping[str, str] | None = None) -> Outcome:
    """Run ``python train.py ARGS`` to its end, or its death."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "output")
        process = start(args, output, environment)
        process.join(timeout=300)
        assert process.exitcode is not None, f"hangs: {args}"
        return Outcome(process.exitcode, output.read_text())


def _command(args: list[str], output: str, environment: dict[str, str]) -> None:
    os.environ |= environment
    torch.set_num_threads(1)
    file = os.open(output, os.O_WRONLY | os.O_CREAT)
    for standard in (1, 2):
        os.dup2(file, standard)
    sys.argv = ["train.py", *args]
    sys.stdout, sys.stderr = (os.fdopen(n, "w", buffering=1, closefd=False) for n in (1, 2))
    runpy.run_path(str(ROOT / "train.py"), run_name="__main__")


def checkpoints(runs: Path) -> list[Path]:
    """All checkpoints under a folder of runs, oldest first."""
    return sorted(runs.glob("*/version_*/checkpoints/*.ckpt"), key=lambda p: p.stat().st_mtime_ns)


def curves(runs: Path) -> EventAccumulator:
    """What the only run under a folder of runs has told TensorBoard."""
    (folder,) = runs.glob("*/version_*")
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def scalars(runs: Path) -> dict[str, list[float]]:
    """The curves of the only run, by tag."""
    events = curves(runs)
    return {tag: [event.value for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def final_state(runs: Path) -> dict[str, Any]:
    """What must be equal at the end of two runs: everything but clock times and folders."""
    checkpoint = max((torch.load(p, weights_only=True) for p in checkpoints(runs)), key=_position)
    callbacks = checkpoint["callbacks"]
    return {
        "weights": checkpoint["state_dict"],
        "optimizer": checkpoint["optimizer_states"],
        "schedule": checkpoint["lr_schedulers"],
        "ema": callbacks["TrainedWeightsEMA"],
        "curve": callbacks["RunSummary"]["curve"],
        "counts": (checkpoint["epoch"], checkpoint["global_step"]),
    }


def _position(checkpoint: dict[str, Any]) -> tuple[int, int]:
    """Order checkpoints of one step: one at the end of an epoch comes after one at its last batch."""
    return checkpoint["global_step"], checkpoint["loops"]["fit_loop"]["epoch_progress"]["total"]["processed"]


def differences(a: Any, b: Any, where: str = "") -> list[str]:
    """Name every place in which two nested states differ by a single bit."""
    if isinstance(a, torch.Tensor):
        return [] if isinstance(b, torch.Tensor) and torch.equal(a, b) else [where]
    if isinstance(a, dict):
        if not isinstance(b, dict) or a.keys() != b.keys():
            return [where]
        return [d for key in a for d in differences(a[key], b[key], f"{where}/{key}")]
    if isinstance(a, list | tuple):
        if len(a) != len(b):
            return [where]
        return [
            d for i, (x, y) in enumerate(zip(a, b, strict=True)) for d in differences(x, y, f"{where}/{i}")
        ]
    return [] if a == b else [f"{where}: {a} is not {b}"]
