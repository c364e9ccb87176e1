"""Post-training on a stream: rounds take what comes next of it, and a run that was killed goes on exactly there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.runs import differences, final_state, finish, save, write_data
from tests.e2e.test_resume import KILLED

QUICKSTART = Path(__file__).resolve().parents[2] / "configs" / "quickstart.yaml"
CHECKPOINT = {
    "class_path": "lightning.pytorch.callbacks.ModelCheckpoint",
    "init_args": {"every_n_epochs": 1, "save_top_k": 1, "save_on_train_epoch_end": True},
}
SUMMARY = {"class_path": "callbacks.summary.RunSummary"}
EMA = {"class_path": "callbacks.ema.TrainedWeightsEMA"}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three shards, 10 cases: two rounds of four end within a block of the third."""
    folder = tmp_path_factory.mktemp("shards")
    for shard, count in enumerate((4, 3, 3)):
        write_data(folder / f"train-{shard:05d}.parquet", 10 * shard, count)
    return folder


def small(shards: Path, *callbacks: dict[str, Any]) -> dict[str, Any]:
    """What makes the quickstart a matter of seconds, and a stream of its data."""
    rollout = {
        "group_size": 2,
        "prompts_per_round": 4,
        "num_steps": 2,
        "window": {"size": 1},
        "chunk_size": 8,
    }
    return {
        "trainer": {
            "max_epochs": 3,
            "check_val_every_n_epoch": 10,
            "num_sanity_val_steps": 0,
            "enable_progress_bar": False,
            "callbacks": [CHECKPOINT, SUMMARY, EMA, *callbacks],
        },
        "model": {"init_args": {"lora": {"rank": 4}, "rollout": rollout, "micro_batch_size": 4}},
        "data": {
            "init_args": {
                "data": str(shards),
                "val_data": None,
                "batch_size": 2,
                "streaming": True,
                "block_rows": 2,
            }
        },
        "reward": {"scorers": {"class_path": "tests.support.scorers.BrightnessScorer"}},
    }


def fit(settings: dict[str, Any], folder: Path, workers: int) -> list[str]:
    folder.mkdir()
    configs = ["--config", str(QUICKSTART), "--config", save(settings, folder / "run.yaml")]
    return ["fit", *configs, f"--run.dir={folder / 'runs'}", f"--data.num_workers={workers}"]


@pytest.mark.slow
def test_a_killed_run_on_a_stream_goes_on_with_other_workers_to_the_same_end(shards: Path, tmp_path: Path):
    whole = finish(fit(small(shards), tmp_path / "whole", workers=0))
    assert whole.code == 0, whole.output
    killer = {
        "class_path": "tests.e2e.killer.KillAt",
        "init_args": {"point": "sampling", "round": 2, "marker": str(tmp_path / "killed")},
    }
    args = fit(small(shards, killer), tmp_path / "killed-run", workers=1)
    assert finish(args).code == KILLED
    ended = finish([*args, "--data.num_workers=2", "--ckpt_path", "last"])
    assert ended.code == 0, ended.output
    one, other = (final_state(tmp_path / name / "runs") for name in ("whole", "killed-run"))
    assert one["counts"][0] == 2  # the third round
    assert differences(one, other) == []
