"""What a user types and sees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.e2e.runs import checkpoints, config, differences, finish, save

NOISE = (
    "litlogger",
    "litmodels",
    "eval mode",
    "treespec",
    "Loading weights",
    "sys.argv",
    "pipeline components",
)


@pytest.fixture
def settings(studio: Path) -> dict[str, Any]:
    found = config(*(str(studio / name) for name in ("editor", "train.parquet", "val.parquet")))
    found["trainer"] |= {"max_epochs": 1, "num_sanity_val_steps": 0, "check_val_every_n_epoch": 1}
    return found


def composed(args: list[str]) -> dict[str, Any]:
    ended = finish([*args, "--print_config"])
    assert ended.code == 0, ended.output
    return yaml.safe_load(ended.output)


def test_help_fits_on_two_screens_and_names_what_a_run_is_told():
    ended = finish(["fit", "--help"], {"COLUMNS": "118"})
    assert ended.code == 0
    assert len(ended.output.splitlines()) < 120
    for flag in (
        "--config",
        "--model",
        "--data",
        "--reward",
        "--run.dir",
        "--ckpt_path",
        "--trainer.max_epochs",
    ):
        assert flag in ended.output
    assert "hpedit.modules.grpo.FlowGRPOModule" in ended.output


def test_help_of_the_model_explains_every_setting():
    ended = finish(["fit", "--model.help", "hpedit.modules.grpo.FlowGRPOModule"])
    assert ended.code == 0
    assert "Edits sampled of each case (G)" in ended.output


def test_flags_that_the_help_leaves_out_work(settings: dict[str, Any], tmp_path: Path):
    args = ["fit", "--config", save(settings, tmp_path / "a.yaml"), "--trainer.detect_anomaly", "true"]
    assert composed(args)["trainer"]["detect_anomaly"] is True


def test_a_second_config_composes_and_cannot_drop_the_reward(settings: dict[str, Any], tmp_path: Path):
    """Mappings are merged and lists replaced: the reward is no entry of a list."""
    second = {
        "trainer": {"max_epochs": 7, "callbacks": [{"class_path": "callbacks.image_grid.ImageGrid"}]},
        "model": {"init_args": {"lora": {"rank": 16}}},
    }
    args = [
        "fit",
        "--config",
        save(settings, tmp_path / "a.yaml"),
        "--config",
        save(second, tmp_path / "b.yaml"),
    ]
    found = composed(args)
    assert found["trainer"]["max_epochs"] == 7
    assert [c["class_path"] for c in found["trainer"]["callbacks"]] == ["callbacks.image_grid.ImageGrid"]
    assert found["model"]["init_args"]["lora"]["rank"] == 16
    assert found["model"]["init_args"]["lora"]["alpha"] == 8
    assert found["reward"]["class_path"] == "callbacks.reward.RewardCallback"
    ended = finish([*args, "--run.dir", str(tmp_path), "--trainer.max_epochs", "1"])
    assert ended.code == 0, ended.output


@pytest.mark.parametrize(
    ("flag", "value", "path"),
    [
        ("--model.rollout.window.size", 2, "model.init_args.rollout.window.size"),
        ("--model.loss.kl_weight", 0.5, "model.init_args.loss.kl_weight"),
        ("--data.batch_size", 4, "data.init_args.batch_size"),
        ("--reward.alpha", 3.0, "reward.init_args.alpha"),
        ("--run.name", "trial", "run.name"),
    ],
)
def test_any_setting_can_be_given_on_the_command_line(
    settings: dict[str, Any], tmp_path: Path, flag: str, value: Any, path: str
):
    found: Any = composed(["fit", "--config", save(settings, tmp_path / "a.yaml"), flag, str(value)])
    for key in path.split("."):
        found = found[key]
    assert found == value


def test_two_runs_get_two_folders_and_the_config_of_one_makes_the_other(
    settings: dict[str, Any], tmp_path: Path
):
    args = ["fit", "--config", save(settings, tmp_path / "trial.yaml"), "--run.dir", str(tmp_path / "runs")]
    assert finish(args).code == 0
    written = tmp_path / "runs/trial/version_0/config.yaml"
    ended = finish(["fit", "--config", str(written)])
    assert ended.code == 0, ended.output
    first, second = checkpoints(tmp_path / "runs")
    assert second == tmp_path / "runs/trial/version_1/checkpoints" / first.name
    one, other = (yaml.safe_load((path.parents[1] / "config.yaml").read_text()) for path in (first, second))
    assert one == other
    states = [torch.load(path, weights_only=True)["state_dict"] for path in (first, second)]
    assert differences(*states) == []


def test_a_new_user_is_told_nothing_that_is_not_about_the_run(settings: dict[str, Any], tmp_path: Path):
    ended = finish(["fit", "--config", save(settings, tmp_path / "a.yaml"), "--run.dir", str(tmp_path)])
    assert ended.code == 0, ended.output
    assert [word for word in NOISE if word in ended.output] == []
    assert "12 of 12 records are used" in ended.output


@pytest.mark.parametrize("command", ["validate", "test", "predict"])
def test_a_checkpoint_can_be_evaluated(settings: dict[str, Any], tmp_path: Path, command: str):
    path = save(settings, tmp_path / "a.yaml")
    where = ["--config", path, "--run.dir", str(tmp_path / "runs")]
    assert finish(["fit", *where]).code == 0
    before = (tmp_path / "runs/a/version_0/config.yaml").read_text()
    ended = finish([command, *where, "--ckpt_path", "last"])
    assert ended.code == 0, ended.output
    assert "epoch=0-step=2.ckpt" in ended.output
    assert (tmp_path / "runs/a/version_0/config.yaml").read_text() == before
    if command == "predict":
        assert len(list(tmp_path.glob("runs/a/version_1/predictions/edits/*.png"))) == 3
    else:
        assert f"{'val' if command == 'validate' else 'test'}/hp_score" in ended.output


def test_predictions_are_written_where_the_config_says_and_kept_in_memory_only_if_asked_for(
    settings: dict[str, Any], tmp_path: Path
):
    callbacks: list[Any] = [{"class_path": "tests.e2e.witness.KeptPredictions"}]
    settings["trainer"]["callbacks"] = callbacks
    where = ["--run.dir", str(tmp_path / "runs")]
    ended = finish(["predict", "--config", save(settings, tmp_path / "a.yaml"), *where])
    assert "batches of predictions in memory: 0" in ended.output
    assert len(list(tmp_path.glob("runs/a/version_0/predictions/edits/*.png"))) == 3
    folder = tmp_path / "out"
    callbacks.append({"class_path": "callbacks.edit_writer.EditWriter", "init_args": {"folder": str(folder)}})
    args = ["predict", "--config", save(settings, tmp_path / "a.yaml"), *where]
    assert "batches of predictions in memory: 2" in finish([*args, "--return_predictions", "true"]).output
    assert len(list(folder.glob("edits/*.png"))) == 3
    assert not (tmp_path / "runs/a/version_1/predictions").exists()
