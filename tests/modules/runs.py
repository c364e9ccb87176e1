"""The runs that one and two processes are compared by; ``python -m tests.modules.runs CHECKPOINT FOLDER`` is a rank."""

from __future__ import annotations

import json
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy
from safetensors.torch import save_file
from torch import Tensor

from callbacks.edit_writer import EditWriter
from callbacks.export import AdapterExport
from callbacks.image_grid import ImageGrid
from callbacks.reward import RewardCallback
from callbacks.summary import RunSummary
from hpedit.modules.dpo import DPOModule
from hpedit.modules.grpo import FlowGRPOModule, GRPOLoss
from hpedit.modules.strategy import ShardedStrategy
from tests.modules import support
from tests.support.scorers import BrightnessScorer

LOSS = GRPOLoss(clip_low=0.2, clip_high=0.2, kl_weight=0.01)
# Two batches of two cases a round: 0 1 | 2 3, then 4 5 | 6 7, then 8 9 | 10 11.
FLAT = ("case6", "case7", "case8", "case9")
MISSING = ("case0", "case10", "case11")


def world() -> tuple[int, int]:
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def rollout_run(
    name: str,
    checkpoint: str,
    out: Path,
    *,
    rounds: int = 3,
    strategy: Any = "auto",
    ckpt_path: Path | None = None,
    module: FlowGRPOModule | None = None,
    validate: bool = False,
) -> dict[str, Tensor]:
    """Post-train for ``rounds`` rounds, keeping a checkpoint of each; write what came of it, and return the weights.

    In round 0 a case has no score, in round 1 the second batch teaches nothing, in round 2 none does.
    """
    if module is None:
        module = support.grpo(checkpoint, loss=LOSS, optimizer=support.sgd)
    reward, recorder = support.PictureReward(FLAT, MISSING), support.Recorder()
    keep = ModelCheckpoint(out / name, "round{epoch}", auto_insert_metric_name=False, save_top_k=-1)
    settings: dict[str, Any] = {"limit_val_batches": 1, "logger": CSVLogger(out, name)} if validate else {}
    with support.counted_forwards(module) as forwards:
        run = support.fit(
            module,
            reward,
            rounds,
            strategy=strategy,
            devices=world()[1],
            ckpt_path=ckpt_path,
            callbacks=[keep, recorder],
            enable_checkpointing=True,
            gradient_clip_val=1e-3,
            **settings,
        )
    report = {
        "training": forwards.training,
        "sampling": forwards.sampling,
        "updates": run.global_step,
        "times": {round: recorder.times(round) for round in recorder.rounds},
        "rewards": [r.reward.nan_to_num(-1).tolist() for r in reward.rollouts],
        "metrics": {k: float(v) for k, v in run.logged_metrics.items()},
    }
    return write(name, out, module, report)


def write(name: str, out: Path, module: Any, report: dict[str, Any]) -> dict[str, Tensor]:
    rank, _ = world()
    (out / f"{name}-{rank}.json").write_text(json.dumps(report))
    weights = support.trained(module)
    save_file(weights, out / f"{name}-{rank}.safetensors")
    return weights


def sharded_module(checkpoint: str, gradient_checkpointing: bool = False) -> FlowGRPOModule:
    """A bf16 base under an fp32 adapter, trained by an optimizer that has counters and moments."""
    return support.grpo(
        checkpoint,
        dtype="bfloat16",
        loss=LOSS,
        optimizer=support.smooth_adam,
        gradient_checkpointing=gradient_checkpointing,
    )


def full_module(checkpoint: str) -> FlowGRPOModule:
    """All weights trained against a frozen copy."""
    return support.grpo(checkpoint, lora=None, loss=LOSS, optimizer=support.sgd_full)


def gloo(sharded: bool = False) -> ShardedStrategy:
    return ShardedStrategy(save_distributed_checkpoint=sharded, process_group_backend="gloo")


def dpo_run(checkpoint: str, out: Path) -> None:
    module = DPOModule(support.tiny_editor(checkpoint), support.LORA, optimizer=support.adam)
    run = support.trainer(2, [], devices=world()[1], strategy=gloo())
    run.fit(module, support.batches([support.pairs(2 * world()[0], 2)]))
    write("dpo", out, module, {"metrics": {k: float(v) for k, v in run.logged_metrics.items()}})


def ddp() -> DDPStrategy:
    """A rank that waits for two minutes waits for one that asks for nothing: an error, rather than a hang."""
    return DDPStrategy(process_group_backend="gloo", timeout=timedelta(minutes=2))


def watched_run(checkpoint: str, out: Path) -> None:
    """Train, validate and predict under all that writes into the run's folder, which is asked for on every rank."""
    watchers = [RewardCallback(BrightnessScorer()), ImageGrid(1), AdapterExport(), RunSummary(), EditWriter()]
    run = support.trainer(
        1,
        [*watchers],
        strategy=ddp(),
        devices=world()[1],
        logger=TensorBoardLogger(str(out), "watched", 0),
        limit_val_batches=1,
        num_sanity_val_steps=-1,
    )
    module = support.grpo(checkpoint)
    run.fit(module, datamodule=support.Cases())
    own = support.batches([support.cases(600 + 2 * world()[0], 2)])
    run.predict(module, own, return_predictions=False)
    # Ranks that are out of step now, by a broadcast that one of them never asked for, add up something else.
    ranks = run.strategy.reduce(torch.tensor(1.0 + world()[0]), reduce_op="sum")
    (out / f"watched-{world()[0]}.json").write_text(json.dumps({"ranks": float(ranks)}))


def perturbed_run(checkpoint: str, out: Path) -> None:
    """Change a weight between rollout and training on the last rank only; write how each rank ended."""
    module = support.grpo(checkpoint)
    reward = support.PictureReward()
    if world()[0] == world()[1] - 1:
        reward.after = lambda: support.perturb(module)
    try:
        support.fit(module, reward, 1, strategy="ddp", devices=world()[1])
        ending = "went on"
    except RuntimeError as error:
        ending = str(error)
    (out / f"perturbed-{world()[0]}.json").write_text(json.dumps({"ending": ending}))


def main(checkpoint: str, folder: str) -> None:
    """All runs of a rank, one after the other: starting a process costs more than a run."""
    out = Path(folder)
    rollout_run("ddp", checkpoint, out, strategy=ddp())
    rollout_run("fsdp", checkpoint, out, strategy=gloo(), validate=True)
    rollout_run("fsdp_resumed", checkpoint, out, strategy=gloo(), ckpt_path=out / "fsdp/round0.ckpt")
    rollout_run("fsdp_from_one", checkpoint, out, strategy=gloo(), ckpt_path=out / "one/round0.ckpt")
    mixed, again = sharded_module(checkpoint, gradient_checkpointing=True), sharded_module(checkpoint)
    rollout_run("sharded", checkpoint, out, rounds=2, strategy=gloo(sharded=True), module=mixed)
    start = out / "sharded/round0.ckpt"
    rollout_run("sharded_resumed", checkpoint, out, rounds=2, strategy=gloo(), module=again, ckpt_path=start)
    rollout_run("full", checkpoint, out, rounds=2, strategy=gloo(), module=full_module(checkpoint))
    dpo_run(checkpoint, out)
    watched_run(checkpoint, out)
    perturbed_run(checkpoint, out)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(*sys.argv[1:])
