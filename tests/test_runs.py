import os
import zipfile
from pathlib import Path

import pytest
from jsonargparse import Namespace

from hpedit.runs import CONFIGS, RunFolder, find_configs, newest_checkpoint, place_run


def test_a_bare_config_name_is_found_among_the_shipped_ones_and_names_the_run():
    words = ["fit", "--config", "quickstart.yaml", "--config=quickstart.yaml", "--trainer.max_epochs", "3"]
    shipped = str(CONFIGS / "quickstart.yaml")
    found = ["fit", "--config", shipped, f"--config={shipped}", "--trainer.max_epochs", "3"]
    assert find_configs(words) == (found, "quickstart")


def test_an_existing_path_wins_over_a_shipped_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "quickstart.yaml").touch()
    monkeypatch.chdir(tmp_path)
    assert find_configs(["fit", "-c", "quickstart.yaml"]) == (["fit", "-c", "quickstart.yaml"], "quickstart")


def test_without_a_config_the_words_stay_as_they_are():
    assert find_configs(["fit", "--help"]) == (["fit", "--help"], None)


def test_a_config_that_is_nowhere_is_answered_with_those_that_are():
    with pytest.raises(ValueError, match=r"--config: no file 'grpoo.yaml'.*quickstart\.yaml"):
        find_configs(["fit", "--config", "grpoo.yaml"])


def test_two_runs_never_share_a_folder(tmp_path: Path):
    run = RunFolder(str(tmp_path), "quickstart")
    folders = [run.logger().log_dir for _ in range(3)]
    assert folders == [str(tmp_path / "quickstart" / f"version_{i}") for i in range(3)]


def test_a_new_run_comes_after_the_last_one_even_if_earlier_ones_were_removed(tmp_path: Path):
    (tmp_path / "quickstart" / "version_7").mkdir(parents=True)
    assert RunFolder(str(tmp_path), "quickstart").logger().version == 8


def _checkpoint(kind: Path, version: int, name: str, age: int, whole: bool = True) -> Path:
    path = kind / f"version_{version}" / "checkpoints" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("data", "x" * 100)
    if not whole:
        path.write_bytes(path.read_bytes()[:-30])
    os.utime(path, (1_000_000 - age, 1_000_000 - age))
    return path


def _sharded(kind: Path, version: int, name: str, age: int, parts: tuple[str, ...]) -> Path:
    folder = kind / f"version_{version}" / "checkpoints" / name
    for part in parts:
        _checkpoint(kind, version, f"{name}-tmp", age).rename(_made(folder) / part)
    os.utime(folder, (1_000_000 - age, 1_000_000 - age))
    return folder


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def test_last_is_the_complete_checkpoint_written_last(tmp_path: Path):
    _checkpoint(tmp_path, 0, "epoch=1.ckpt", age=10)
    newest = _checkpoint(tmp_path, 0, "epoch=2.ckpt", age=5)
    _checkpoint(tmp_path, 1, "epoch=0.ckpt", age=50)
    _checkpoint(tmp_path, 1, "epoch=8.ckpt", age=2, whole=False)
    _checkpoint(tmp_path, 1, ".epoch=9.ckpt.partial", age=0)
    assert newest_checkpoint(tmp_path) == newest


def test_a_sharded_checkpoint_counts_once_its_last_file_is_there(tmp_path: Path):
    whole = _sharded(tmp_path, 0, "epoch=1.ckpt", 10, ("__0_0.distcp", ".metadata", "meta.pt"))
    _sharded(tmp_path, 0, "epoch=2.ckpt", 5, ("__0_0.distcp", ".metadata"))
    _sharded(tmp_path, 0, "epoch=3.ckpt", 1, ("__0_0.distcp",))
    assert newest_checkpoint(tmp_path) == whole


def _config(folder: Path, version: int | None = None, ckpt_path: str | None = "last") -> Namespace:
    return Namespace(ckpt_path=ckpt_path, run=Namespace(dir=str(folder), name=None, version=version))


def test_training_goes_on_in_the_folder_of_its_checkpoint(tmp_path: Path):
    newest = _checkpoint(tmp_path / "grpo", 3, "epoch=2.ckpt", age=5)
    config = _config(tmp_path)
    place_run(config, "grpo", goes_on=True)
    assert (config.run.name, config.run.version, config.ckpt_path) == ("grpo", 3, str(newest))


def test_evaluation_takes_the_checkpoint_and_writes_elsewhere(tmp_path: Path):
    newest = _checkpoint(tmp_path / "grpo", 3, "epoch=2.ckpt", age=5)
    config = _config(tmp_path)
    place_run(config, "grpo", goes_on=False)
    assert (config.run.version, config.ckpt_path) == (None, str(newest))


def test_a_given_version_is_the_one_that_goes_on(tmp_path: Path):
    wanted = _checkpoint(tmp_path / "grpo", 1, "epoch=2.ckpt", age=50)
    _checkpoint(tmp_path / "grpo", 3, "epoch=2.ckpt", age=5)
    config = _config(tmp_path, version=1)
    place_run(config, "grpo", goes_on=True)
    assert config.ckpt_path == str(wanted)


def test_where_nothing_was_saved_the_run_starts_anew(tmp_path: Path):
    config = _config(tmp_path)
    place_run(config, "grpo", goes_on=True)
    assert (config.ckpt_path, config.run.version) == (None, None)


def test_the_version_of_another_run_is_refused(tmp_path: Path):
    _checkpoint(tmp_path / "grpo", 3, "epoch=2.ckpt", age=5)
    with pytest.raises(ValueError, match=r"--run\.version: wanted a free number, got .*version_3"):
        place_run(_config(tmp_path, version=3, ckpt_path=None), "grpo", goes_on=True)
    place_run(_config(tmp_path, version=4, ckpt_path=None), "grpo", goes_on=True)


def test_a_name_in_the_config_wins_over_that_of_the_file(tmp_path: Path):
    config = _config(tmp_path, ckpt_path=None)
    config.run.name = "trial"
    place_run(config, "grpo", goes_on=True)
    assert config.run.name == "trial"
