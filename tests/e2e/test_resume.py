"""Kill a run at any moment, say the same with ``--ckpt_path last``: it ends as if nothing had happened."""

from __future__ import annotations

import json
import random
import re
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.e2e.killer import Point
from tests.e2e.runs import ROUNDS, checkpoints, config, differences, final_state, finish, save, start

KILLED = -signal.SIGKILL


def fit(settings: dict[str, Any], folder: Path) -> list[str]:
    folder.mkdir(exist_ok=True)
    return ["fit", "--config", save(settings, folder / "run.yaml"), "--run.dir", str(folder / "runs")]


def settings(studio: Path, module: str) -> dict[str, Any]:
    names = ("editor", "train.parquet", "val.parquet")
    return config(*(str(studio / name) for name in names), module=module)


def killed_at(settings: dict[str, Any], point: Point, round: int, folder: Path) -> dict[str, Any]:
    killer = {
        "class_path": "tests.e2e.killer.KillAt",
        "init_args": {"point": point, "round": round, "marker": str(folder / "killed")},
    }
    callbacks = [*settings["trainer"]["callbacks"], killer]
    return {**settings, "trainer": {**settings["trainer"], "callbacks": callbacks}}


def undisturbed(settings: dict[str, Any], folder: Path) -> Path:
    """Return the runs of one that nobody disturbed, with the checkpoints of all its rounds."""
    settings["trainer"]["callbacks"][0]["init_args"]["save_top_k"] = -1
    ended = finish(fit(settings, folder))
    assert ended.code == 0, ended.output
    return folder / "runs"


@pytest.fixture(scope="module")
def whole(studio: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return undisturbed(settings(studio, "grpo"), tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def whole_sft(studio: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return undisturbed(settings(studio, "sft"), tmp_path_factory.mktemp("whole_sft"))


def assert_same_end(runs: Path, whole: Path) -> None:
    assert differences(final_state(runs), final_state(whole)) == []


@pytest.mark.parametrize(
    ("point", "round"),
    [
        ("sampling", 2),
        ("update", 1),
        ("validation", 3),
        ("before saving", 1),
        ("half written", 2),
        ("written", 1),
    ],
)
def test_a_killed_run_goes_on_to_the_same_end(
    studio: Path, whole: Path, tmp_path: Path, point: Point, round: int
):
    args = fit(killed_at(settings(studio, "grpo"), point, round, tmp_path), tmp_path)
    assert finish(args).code == KILLED
    ended = finish([*args, "--ckpt_path", "last"])
    assert ended.code == 0, ended.output
    assert re.search(r"--ckpt_path last: taking .*\.ckpt", ended.output)
    assert_same_end(tmp_path / "runs", whole)
    assert len(list(tmp_path.glob("runs/run/version_*"))) == 1


def test_a_run_killed_before_its_first_checkpoint_starts_anew(studio: Path, whole: Path, tmp_path: Path):
    args = fit(killed_at(settings(studio, "grpo"), "update", 0, tmp_path), tmp_path)
    assert finish([*args, "--ckpt_path", "last"]).code == KILLED
    ended = finish([*args, "--ckpt_path", "last"])
    assert ended.code == 0, ended.output
    assert "no complete checkpoint yet, starting anew" in ended.output
    assert_same_end(tmp_path / "runs", whole)


@pytest.mark.slow
def test_a_run_killed_again_and_again_at_random_moments_comes_to_the_same_end(
    studio: Path, whole: Path, tmp_path: Path
):
    args = [*fit(settings(studio, "grpo"), tmp_path), "--ckpt_path", "last"]
    moment, killed = random.Random(7), 0
    for attempt in range(20):
        process = start(args, tmp_path / f"output{attempt}")
        # It is killed some time after its next checkpoint: killed sooner, it would get nowhere.
        newest, deadline = checkpoints(tmp_path / "runs")[-1:], time.monotonic() + 300
        while process.is_alive() and time.monotonic() < deadline:
            if checkpoints(tmp_path / "runs")[-1:] != newest:
                time.sleep(moment.uniform(0.0, 1.0))
                process.kill()
            time.sleep(0.01)
        process.join()
        killed += process.exitcode == KILLED
        if process.exitcode == 0:
            break
        assert process.exitcode == KILLED, (tmp_path / f"output{attempt}").read_text()
    assert killed >= 2
    assert_same_end(tmp_path / "runs", whole)


def test_a_run_goes_on_from_a_checkpoint_that_was_written_after_a_validation(
    studio: Path, whole: Path, tmp_path: Path
):
    """Where a config names no ModelCheckpoint, Lightning's own writes after validations, before the epoch ends."""
    found = killed_at(settings(studio, "grpo"), "sampling", 3, tmp_path)
    del found["trainer"]["callbacks"][0]
    args = fit(found, tmp_path)
    assert finish(args).code == KILLED
    assert [path.name for path in checkpoints(tmp_path / "runs")] == ["epoch=1-step=4.ckpt"]
    ended = finish([*args, "--ckpt_path", "last"])
    assert ended.code == 0, ended.output
    assert_same_end(tmp_path / "runs", whole)


def copied(whole: Path, studio: Path, folder: Path) -> list[str]:
    """Return the command that made a copy of the undisturbed run, to go on in it."""
    args = fit(settings(studio, "grpo"), folder)
    shutil.copytree(whole, folder / "runs")
    return [*args, "--ckpt_path", "last"]


def test_a_damaged_checkpoint_is_passed_over(studio: Path, whole: Path, tmp_path: Path):
    """As a copy that stopped half-way leaves one; the run's own writing never does."""
    args = copied(whole, studio, tmp_path)
    newest = checkpoints(tmp_path / "runs")[-1]
    newest.write_bytes(newest.read_bytes()[:-1000])
    ended = finish(args)
    assert ended.code == 0, ended.output
    assert re.search(r"--ckpt_path last: taking .*epoch=2-step=6\.ckpt", ended.output)
    newest.unlink()
    assert_same_end(tmp_path / "runs", whole)


def test_going_on_from_a_run_that_is_done_changes_nothing(studio: Path, whole: Path, tmp_path: Path):
    args = copied(whole, studio, tmp_path)
    ended = finish(args)
    assert ended.code == 0, ended.output
    assert_same_end(tmp_path / "runs", whole)
    before, after = (
        json.loads((runs / "run/version_0/summary.json").read_text()) for runs in (whole, tmp_path / "runs")
    )
    assert after | {"seconds": 0} == before | {"seconds": 0}


def test_a_checkpoint_is_small_and_plain(whole: Path):
    """It holds the adapter, its two moments and its average: 4 numbers a weight, and no frozen weight."""
    path = checkpoints(whole)[-1]
    checkpoint = torch.load(path, weights_only=True)
    trained = sum(weight.nbytes for weight in checkpoint["state_dict"].values())
    assert all("lora" in name for name in checkpoint["state_dict"])
    assert 4 * trained <= path.stat().st_size < 4 * trained + 400_000


@pytest.mark.parametrize("every_n_steps", [4, 6])
def test_fine_tuning_goes_on_in_the_middle_of_a_pass(
    studio: Path, whole_sft: Path, tmp_path: Path, every_n_steps: int
):
    """A pass has 6 batches: the checkpoint lies inside it or after its last batch, before its validation."""
    often = killed_at(settings(studio, "sft"), "update", 1, tmp_path)
    inside = {
        "class_path": "lightning.pytorch.callbacks.ModelCheckpoint",
        "init_args": {"every_n_train_steps": every_n_steps, "save_top_k": 1},
    }
    often["trainer"]["callbacks"][0]["init_args"]["every_n_epochs"] = ROUNDS
    often["trainer"]["callbacks"].append(inside)
    args = fit(often, tmp_path)
    assert finish(args).code == KILLED
    assert [path.name for path in checkpoints(tmp_path / "runs")] == [f"epoch=0-step={every_n_steps}.ckpt"]
    ended = finish([*args, "--ckpt_path", "last"])
    assert ended.code == 0, ended.output
    assert_same_end(tmp_path / "runs", whole_sft)


def test_fine_tuning_goes_on_from_the_end_of_a_pass(studio: Path, whole_sft: Path, tmp_path: Path):
    args = fit(killed_at(settings(studio, "sft"), "update", 2, tmp_path), tmp_path)
    assert finish(args).code == KILLED
    assert finish([*args, "--ckpt_path", "last"]).code == 0
    assert_same_end(tmp_path / "runs", whole_sft)
