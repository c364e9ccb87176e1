"""What a run tells TensorBoard: every figure that a user is promised, and figures that fit together."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpedit.tasks import TASKS
from tests.e2e.runs import config, curves, finish, save, scalars

ROUNDS = 3  # of four cases each: the twelve cases, and so all eight tasks, come up

OF_A_ROUND = (
    *("reward/mean", "reward/std", "reward/group_std_mean", "score/mean", "score/std"),
    *("reward/zero_spread_share", "reward/failed_share", "reward/lone_share", "reward/unchanged_share"),
    *("train/kl", "train/approx_kl", "train/clip_low_share", "train/clip_high_share", "train/loss"),
    *("train/ratio_mean", "train/ratio_min", "train/ratio_max"),
    *("speed/images_per_s", "speed/sampled_images_per_s", "time/round_s", "time/sampling_s"),
    *("time/encode_s", "time/rollout_s", "time/decode_s", "time/reward_wait_s", "time/update_s"),
    *("scorer/hp_scorer/latency", "scorer/hp_scorer/queue_wait", "reward/wait_share"),
)
OF_AN_UPDATE = ("train/grad_norm", "train/lr", "train/skipped_updates")
BY_TASK = ("reward_mean", "reward_std", "score", "score_std")


@pytest.fixture(scope="module")
def runs(studio: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("figures")
    settings = config(*(str(studio / name) for name in ("editor", "train.parquet", "val.parquet")))
    settings["trainer"] |= {"max_epochs": ROUNDS, "check_val_every_n_epoch": 1, "num_sanity_val_steps": 0}
    grid = {"class_path": "callbacks.image_grid.ImageGrid", "init_args": {"every_n_rounds": 1}}
    settings["trainer"]["callbacks"] += [grid]
    ended = finish(
        ["fit", "--config", save(settings, folder / "run.yaml"), "--run.dir", str(folder / "runs")]
    )
    assert ended.code == 0, ended.output
    return folder / "runs"


def test_every_round_and_every_update_is_told(runs: Path):
    found = scalars(runs)
    assert {tag: len(found.get(tag, ())) for tag in OF_A_ROUND} == dict.fromkeys(OF_A_ROUND, ROUNDS)
    assert {tag: len(found.get(tag, ())) for tag in OF_AN_UPDATE} == dict.fromkeys(OF_AN_UPDATE, 2 * ROUNDS)


def test_reward_and_score_have_mean_and_spread_by_task(runs: Path):
    assert {f"{kind}/{task}" for kind in BY_TASK for task in TASKS} <= scalars(runs).keys()


def test_validation_has_a_score_by_task_and_their_macro_mean(runs: Path):
    found = scalars(runs)
    by_task = [values for tag, values in found.items() if tag.startswith("val/hp_score/")]
    assert len(by_task) == 3
    means = [sum(scores) / 3 for scores in zip(*by_task, strict=True)]
    assert found["val/hp_score"] == pytest.approx(means, rel=1e-5)


def test_the_parts_of_a_round_add_up_to_no_more_than_the_round(runs: Path):
    found = scalars(runs)
    parts = ("encode", "rollout", "decode", "reward_wait", "update")
    for i, whole in enumerate(found["time/round_s"]):
        assert 0.5 * whole < sum(found[f"time/{part}_s"][i] for part in parts) <= whole * 1.001
        assert found["speed/images_per_s"][i] == pytest.approx(8 / whole, rel=1e-4)


def test_pictures_of_rollouts_and_of_validation_are_there(runs: Path):
    assert set(curves(runs).Tags()["images"]) == {"edits/train", "edits/validation"}
