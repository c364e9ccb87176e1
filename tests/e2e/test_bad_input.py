"""Every mistake is answered by one line that names the flag or the record, before any weight is read."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from hpedit.tasks import TASKS
from tests.e2e.runs import Outcome, checkpoints, config, finish, noise_picture, save, scalars


@pytest.fixture
def settings(studio: Path) -> dict[str, Any]:
    """A sound run of the editor that tells whether it was loaded."""
    (studio / "loaded").unlink(missing_ok=True)
    found = config(*(str(studio / name) for name in ("editor", "train.parquet", "val.parquet")))
    found["model"]["init_args"]["editor"]["class_path"] = "tests.e2e.witness.WitnessEditor"
    found["trainer"] |= {"max_epochs": 1, "num_sanity_val_steps": 0, "limit_val_batches": 0}
    return found


def run(settings: dict[str, Any], folder: Path, *flags: str, command: str = "fit") -> Outcome:
    return finish(
        [command, "--config", save(settings, folder / "run.yaml"), "--run.dir", str(folder / "runs"), *flags]
    )


def the_error(ended: Outcome) -> str:
    """Return the only error of a command that ended with one, and nothing of a traceback."""
    assert ended.code in (1, 2), ended.output
    assert "Traceback" not in ended.output
    errors = re.findall(r"^error: .*", ended.output, flags=re.MULTILINE)
    assert len(errors) == 1, ended.output
    return errors[0]


def folder_of_cases(
    folder: Path, spoil: Callable[[dict[str, Any], int], dict[str, Any]], count: int = 4
) -> str:
    """Write pictures and a metadata.jsonl whose records went through ``spoil``."""
    folder.mkdir()
    rows = []
    for i in range(count):
        (folder / f"{i}.png").write_bytes(noise_picture(i).data)  # type: ignore[union-attr]
        row = {
            "file_name": f"{i}.png",
            "case_id": f"case-{i}",
            "task": "bokeh",
            "instruction": "Blur the background",
        }
        rows.append(spoil(row, i))
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder)


# ---- data -----------------------------------------------------------------------------------------------------------


def unknown_task(row: dict[str, Any], i: int) -> dict[str, Any]:
    return row | {"task": "juggling"}


def missing_image(row: dict[str, Any], i: int) -> dict[str, Any]:
    return row | {"file_name": "nowhere.png"}


def wrong_column(row: dict[str, Any], i: int) -> dict[str, Any]:
    return {("prompt" if key == "instruction" else key): value for key, value in row.items()}


@pytest.mark.parametrize(
    ("spoil", "wanted"),
    [
        (
            unknown_task,
            r"--data\.data.*record 0 \(case-0\).*unknown task 'juggling'; expected one of object_addition",
        ),
        (missing_image, r"--data\.data.*record 0 \(case-0\).*nowhere\.png"),
        (wrong_column, r"--data\.data.*instruction.*prompt"),
    ],
    ids=["unknown task", "missing image", "wrong column"],
)
def test_records_that_are_all_faulty_stop_the_run(
    studio: Path, settings: dict[str, Any], tmp_path: Path, spoil: Any, wanted: str
):
    data = folder_of_cases(tmp_path / "cases", spoil)
    assert re.search(wanted, the_error(run(settings, tmp_path, "--data.data", data)))
    assert not (studio / "loaded").exists()


@pytest.mark.parametrize("body", [b"", b"\x89PNG not really"], ids=["zero bytes", "corrupt"])
def test_one_bad_picture_is_named_and_left_out(
    studio: Path, settings: dict[str, Any], tmp_path: Path, body: bytes
):
    data = folder_of_cases(tmp_path / "cases", lambda row, i: row, count=7)
    (tmp_path / "cases" / "3.png").write_bytes(body)
    ended = run(settings, tmp_path, "--data.data", data)
    assert ended.code == 0, ended.output
    assert "6 of 7 records are used" in ended.output
    assert "1 faulty" in ended.output
    assert "record 3 (case-3): " in ended.output


def test_an_empty_data_set_is_refused(studio: Path, settings: dict[str, Any], tmp_path: Path):
    data = folder_of_cases(tmp_path / "cases", lambda row, i: row, count=0)
    assert re.search(
        r"--data\.data=.*the data set is empty", the_error(run(settings, tmp_path, "--data.data", data))
    )
    assert not (studio / "loaded").exists()


def test_a_data_set_that_is_nowhere_is_refused(studio: Path, settings: dict[str, Any], tmp_path: Path):
    error = the_error(run(settings, tmp_path, "--data.data", str(tmp_path / "nowhere")))
    assert re.search(
        r"--data\.data=.*nowhere.*expected Parquet files, a metadata\.jsonl or a metadata\.csv", error
    )


# ---- settings -------------------------------------------------------------------------------------------------------


def test_a_run_without_a_reward_is_refused(studio: Path, settings: dict[str, Any], tmp_path: Path):
    del settings["reward"]
    assert "--reward: FlowGRPOModule wanted a RewardCallback" in the_error(run(settings, tmp_path))
    assert not (studio / "loaded").exists()


@pytest.mark.parametrize(
    ("flag", "value", "wanted"),
    [
        (
            "--model.rollout.prompts_per_round",
            "5",
            r"prompts_per_round: wanted a multiple of .* = 2 x 1, got 5",
        ),
        ("--model.micro_batch_size", "3", r"micro_batch_size: wanted a divisor of .* = 4, got 3"),
        (
            "--model.updates_per_pass",
            "3",
            r"updates_per_pass: wanted a divisor of the 4 micro-batches .* got 3",
        ),
        ("--trainer.accumulate_grad_batches", "3", r"accumulate_grad_batches: wanted 1 .*, got 3"),
        ("--model.editor.init_args.model", "/nowhere/at/all", r"no such folder: '/nowhere/at/all'"),
        ("--run.version", "0", r"--run\.version: wanted a free number"),
    ],
)
def test_a_setting_that_does_not_fit_is_named(
    studio: Path, settings: dict[str, Any], tmp_path: Path, flag: str, value: str, wanted: str
):
    (tmp_path / "runs" / "run" / "version_0").mkdir(parents=True)
    if "editor" in flag:
        settings["model"]["init_args"]["editor"]["class_path"] = (
            "hpedit.editors.qwen_image_edit_plus.QwenImageEditPlusEditor"
        )
    assert re.search(wanted, the_error(run(settings, tmp_path, flag, value)))
    assert not (studio / "loaded").exists()


def test_a_config_that_is_nowhere_is_answered_with_those_there_are(tmp_path: Path):
    error = the_error(finish(["fit", "--config", "grpoo.yaml", "--run.dir", str(tmp_path)]))
    assert "--config: no file 'grpoo.yaml'" in error
    assert "quickstart.yaml" in error


def test_an_unknown_setting_is_not_buried_under_the_usage(settings: dict[str, Any], tmp_path: Path):
    ended = run(settings, tmp_path, "--model.rollout.nun_steps", "3")
    the_error(ended)
    assert "nun_steps" in ended.output
    assert ended.code == 2
    assert len(ended.output.splitlines()) < 20, ended.output


def test_an_unknown_key_in_a_config_is_named(settings: dict[str, Any], tmp_path: Path):
    settings["model"]["init_args"]["rollout"]["nun_steps"] = 3
    ended = run(settings, tmp_path)
    the_error(ended)
    assert "nun_steps" in ended.output
    assert len(ended.output.splitlines()) < 25, ended.output


def test_the_traceback_is_there_on_request(settings: dict[str, Any], tmp_path: Path):
    del settings["reward"]
    path = save(settings, tmp_path / "run.yaml")
    ended = finish(
        ["fit", "--config", path, "--run.dir", str(tmp_path)], environment={"HPEDIT_TRACEBACK": "1"}
    )
    assert ended.code == 1
    assert "Traceback" in ended.output


# ---- scoring --------------------------------------------------------------------------------------------------------


def test_a_scorer_that_cannot_be_reached_is_found_before_the_model_loads(
    studio: Path, settings: dict[str, Any], tmp_path: Path
):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        backend = {
            "class_path": "hpedit.scorers.openai_backend.OpenAIBackend",
            "init_args": {"base_url": address, "model": "judge", "retries": 0},
        }
        settings["reward"]["scorers"] = {
            "class_path": "hpedit.scorers.hp_scorer.HPScorer",
            "init_args": {"backend": backend},
        }
        error = the_error(run(settings, tmp_path))
    assert error.startswith("error: --reward.scorers: hp_scorer cannot score")
    assert address in error
    assert not (studio / "loaded").exists()


def failing(settings: dict[str, Any], *tasks: str) -> None:
    settings["reward"]["scorers"]["init_args"] = {"failing": list(tasks)}


def test_too_many_missing_scores_stop_the_run_in_the_scorers_own_words(
    settings: dict[str, Any], tmp_path: Path
):
    failing(settings, *TASKS)
    error = the_error(run(settings, tmp_path))
    assert re.search(
        r"100% of the scores of round 0 could not be had.*no opinion.*reward\.max_failed_share", error
    )


def test_a_few_missing_scores_are_masked(settings: dict[str, Any], tmp_path: Path):
    failing(settings, "object_addition")
    settings["trainer"]["max_epochs"] = 3
    ended = run(settings, tmp_path, "--reward.max_failed_share", "0.9")
    assert ended.code == 0, ended.output
    assert "no opinion" in ended.output


# ---- updates --------------------------------------------------------------------------------------------------------


def spoilt(settings: dict[str, Any], **init_args: Any) -> None:
    spoiler = {"class_path": "tests.e2e.witness.SpoilGradients", "init_args": init_args}
    settings["trainer"]["callbacks"].append(spoiler)


def test_gradients_that_stay_nan_stop_the_run(settings: dict[str, Any], tmp_path: Path):
    spoilt(settings)
    settings["trainer"]["max_epochs"] = 5
    error = the_error(run(settings, tmp_path, "--model.max_skipped_updates", "4"))
    assert "4 updates in a row had a gradient norm of nan and were skipped" in error


def test_a_skipped_update_touches_neither_weights_nor_moments(settings: dict[str, Any], tmp_path: Path):
    spoilt(settings)
    assert run(settings, tmp_path).code == 0
    checkpoint = torch.load(checkpoints(tmp_path / "runs")[-1], weights_only=True)
    assert checkpoint["global_step"] == 2
    assert checkpoint["optimizer_states"][0]["state"] == {}
    outputs = [weight for name, weight in checkpoint["state_dict"].items() if "lora_B" in name]
    assert outputs
    assert not any(weight.any() for weight in outputs)


def test_a_run_goes_on_after_one_skipped_update(settings: dict[str, Any], tmp_path: Path):
    spoilt(settings, first=0, last=0)
    assert run(settings, tmp_path).code == 0
    checkpoint = torch.load(checkpoints(tmp_path / "runs")[-1], weights_only=True)
    assert {int(s["step"]) for s in checkpoint["optimizer_states"][0]["state"].values()} == {1}
    assert all(weight.isfinite().all() for weight in checkpoint["state_dict"].values())
    assert scalars(tmp_path / "runs")["train/skipped_updates"][-1] == 1


# ---- checkpoints ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(studio: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of one round."""
    folder = tmp_path_factory.mktemp("trained")
    found = config(*(str(studio / name) for name in ("editor", "train.parquet", "val.parquet")))
    found["model"]["init_args"]["editor"]["class_path"] = "tests.e2e.witness.WitnessEditor"
    found["trainer"] |= {"max_epochs": 1, "num_sanity_val_steps": 0, "limit_val_batches": 0}
    assert run(found, folder).code == 0
    return checkpoints(folder / "runs")[-1]


def test_a_checkpoint_of_another_rank_is_refused(
    studio: Path, settings: dict[str, Any], trained: Path, tmp_path: Path
):
    error = the_error(run(settings, tmp_path, "--ckpt_path", str(trained), "--model.lora.rank", "8"))
    assert "wanted a checkpoint of WitnessEditor with a LoRA of rank 8 and alpha 8" in error
    assert "got one of WitnessEditor with a LoRA of rank 4 and alpha 8" in error
    assert not (studio / "loaded").exists()


def test_a_checkpoint_of_another_editor_is_refused(settings: dict[str, Any], trained: Path, tmp_path: Path):
    settings["model"]["init_args"]["editor"]["class_path"] = (
        "hpedit.editors.qwen_image_edit_plus.QwenImageEditPlusEditor"
    )
    error = the_error(run(settings, tmp_path, "--ckpt_path", str(trained), command="validate"))
    assert "wanted a checkpoint of QwenImageEditPlusEditor" in error
    assert "got one of WitnessEditor" in error


def test_a_checkpoint_of_other_layers_is_refused(settings: dict[str, Any], trained: Path, tmp_path: Path):
    flags = ("--ckpt_path", str(trained), "--model.lora.targets", '["attn.to_q"]')
    assert re.search(
        r"--ckpt_path: wanted the \d+ trained weights.*lora\.targets",
        the_error(run(settings, tmp_path, *flags)),
    )


class Harmful:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("harmed"),))


@pytest.mark.parametrize("kind", ["nowhere", "text", "foreign", "pickle"])
def test_a_file_that_is_no_checkpoint_is_refused(
    studio: Path, settings: dict[str, Any], tmp_path: Path, kind: str
):
    path = tmp_path / "some.ckpt"
    if kind == "text":
        path.write_text("not a checkpoint")
    if kind == "foreign":
        torch.save({"state_dict": {}}, path)
    if kind == "pickle":
        torch.save({"state_dict": {}, "surprise": Harmful()}, path)
    wanted = {"nowhere": "no such checkpoint", "foreign": "got one of another program"}
    error = the_error(run(settings, tmp_path, "--ckpt_path", str(path)))
    assert str(path) in error
    assert wanted.get(kind, "not a checkpoint of plain tensors") in error
    assert not (studio / "loaded").exists()
    assert not Path("harmed").exists()


def test_a_full_disk_costs_one_checkpoint_and_not_the_run(settings: dict[str, Any], tmp_path: Path):
    disk = {"class_path": "tests.e2e.witness.FailingDisk", "init_args": {"first": 1, "rounds": 1}}
    settings["trainer"]["callbacks"].append(disk)
    settings["trainer"]["max_epochs"] = 3
    ended = run(settings, tmp_path)
    assert ended.code == 0, ended.output
    assert re.search(r"epoch=1-step=4\.ckpt could not be saved: File too large", ended.output)
    assert [path.name for path in checkpoints(tmp_path / "runs")] == ["epoch=2-step=6.ckpt"]


def test_a_disk_that_stays_full_stops_the_run_and_leaves_the_last_checkpoint(
    settings: dict[str, Any], tmp_path: Path
):
    disk = {"class_path": "tests.e2e.witness.FailingDisk", "init_args": {"first": 1, "rounds": 100}}
    settings["trainer"]["callbacks"].append(disk)
    settings["trainer"]["max_epochs"] = 9
    error = the_error(run(settings, tmp_path))
    assert re.search(r"epoch=3-step=8\.ckpt could not be saved.*3 in a row", error)
    left = checkpoints(tmp_path / "runs")
    assert [path.name for path in left] == ["epoch=0-step=2.ckpt"]
    assert torch.load(left[0], weights_only=True)["global_step"] == 2
    assert not list(tmp_path.rglob("*.partial"))
