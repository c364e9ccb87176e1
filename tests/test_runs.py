import os
from pathlib import Path

from jsonargparse import Namespace

from hpedit.runs import CONFIGS, RunFolder, find_configs, newest_checkpoint, resume_last


def test_a_bare_config_name_is_found_among_the_shipped_ones_and_names_the_run():
    args = find_configs(
        ["fit", "--config", "quickstart.yaml", "--config=debug.yaml", "--trainer.max_epochs", "3"]
    )
    assert args == [
        "fit",
        "--config",
        str(CONFIGS / "quickstart.yaml"),
        f"--config={CONFIGS / 'debug.yaml'}",
        "--trainer.max_epochs",
        "3",
        "--run.name=quickstart",
    ]


def test_an_existing_path_and_a_given_name_win(tmp_path: Path):
    mine = tmp_path / "quickstart.yaml"
    mine.touch()
    args = find_configs(["fit", "--config", str(mine), "--run.name", "trial"])
    assert args == ["fit", "--config", str(mine), "--run.name", "trial"]


def test_two_runs_never_share_a_folder(tmp_path: Path):
    run = RunFolder(str(tmp_path), "quickstart")
    folders = []
    for _ in range(2):
        folder = Path(run.logger().log_dir)  # type: ignore[arg-type]
        folder.mkdir(parents=True)
        folders.append(folder)
    assert len(set(folders)) == 2


def _checkpoint(folder: Path, version: int, name: str, age: int) -> Path:
    path = folder / f"version_{version}" / "checkpoints" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    os.utime(path, (1_000_000 - age, 1_000_000 - age))
    return path


def test_last_is_the_checkpoint_written_last(tmp_path: Path):
    _checkpoint(tmp_path, 0, "epoch=1.ckpt", age=10)
    newest = _checkpoint(tmp_path, 0, "epoch=2.ckpt", age=5)
    _checkpoint(tmp_path, 1, "epoch=0.ckpt", age=50)
    _checkpoint(tmp_path, 1, ".epoch=9.ckpt.partial", age=0)
    assert newest_checkpoint(tmp_path) == newest


def test_resuming_goes_on_in_the_folder_of_the_run(tmp_path: Path):
    _checkpoint(tmp_path / "grpo", 3, "epoch=2.ckpt", age=5)
    config = Namespace(ckpt_path="last", run=Namespace(dir=str(tmp_path), name="grpo", version=None))
    assert resume_last(config)
    assert config.run.version == 3
    assert config.ckpt_path.endswith("epoch=2.ckpt")


def test_resuming_where_nothing_was_saved_starts_anew(tmp_path: Path):
    config = Namespace(ckpt_path="last", run=Namespace(dir=str(tmp_path), name="grpo", version=None))
    assert not resume_last(config)
    assert config.ckpt_path is None
