"""The printed command is one that a shell runs, with the options and the split that were asked for."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from jsonargparse import ArgumentParser

from callbacks.reward import RewardCallback
from hpedit.__main__ import main
from hpedit.runs import find_configs
from hpedit.scorers.hp_scorer import HPScorer
from hpedit.scorers.openai_backend import OpenAIBackend

FAKE = '#!/bin/sh\nfor word in "$@"; do printf "%s\\0" "$word"; done > "$SEEN"\nenv > "$SEEN.env"\n'


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    main(["serve-scorer", *words])
    return capsys.readouterr().out


def words_of(script: str) -> list[str]:
    """The words of the command, by Python's own reading of shell syntax."""
    return shlex.split(script.replace("\\\n", ""), comments=True)


def flags_of(words: list[str]) -> dict[str, str]:
    return {word: after for word, after in zip(words, [*words[1:], ""], strict=True) if word.startswith("--")}


def environment(folder: Path) -> dict[str, str]:
    fake = folder / "vllm"
    fake.write_text(FAKE)
    fake.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "SEEN": str(folder / "seen")}


def test_a_shell_runs_what_is_printed_word_for_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = printed(capsys, "/models/my judge 32B", "--gpus", "8", "--media_folder", "/data/it's")
    subprocess.run(["sh", "-c", script], env=environment(tmp_path), check=True)
    seen = (tmp_path / "seen").read_text().split("\0")[:-1]
    assert ["vllm", *seen] == words_of(script)
    assert seen[:2] == ["serve", "/models/my judge 32B"]
    assert flags_of(seen)["--allowed-local-media-path"] == "/data/it's"


def test_every_option_is_explained_above_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    script = printed(capsys, "Qwen/Qwen3-VL-32B-Instruct", "--gpus", "2")
    above = script[: script.index("\nvllm serve")]
    missing = [flag for flag in flags_of(words_of(script)) if flag not in above and flag != "--port"]
    assert missing == []


@pytest.mark.parametrize(
    ("model", "gpus", "gpu_gb", "copies", "each"),
    [
        ("Qwen/Qwen3-VL-8B-Instruct", 1, 80, 1, 1),
        ("Qwen/Qwen3-VL-32B-Instruct", 8, 80, 4, 2),
        ("Qwen/Qwen3-VL-32B-Instruct-FP8", 8, 80, 8, 1),
        ("Qwen/Qwen2.5-VL-72B-Instruct", 8, 80, 2, 4),
        ("Qwen/Qwen3-VL-235B-A22B-Instruct-FP8", 8, 141, 2, 4),
    ],
)
def test_the_split_follows_model_and_machine(
    capsys: pytest.CaptureFixture[str], model: str, gpus: int, gpu_gb: int, copies: int, each: int
) -> None:
    flags = flags_of(words_of(printed(capsys, model, f"--gpus={gpus}", f"--gpu_gb={gpu_gb}")))
    assert flags["--data-parallel-size"] == flags["--api-server-count"] == str(copies)
    assert flags["--tensor-parallel-size"] == str(each)
    assert ("--mm-encoder-tp-mode" in flags) == (each > 1)


def test_pictures_are_bounded_and_nothing_is_open_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    script = printed(
        capsys, "Qwen/Qwen3-VL-8B-Instruct", "--images", "3", "--max_pixels", "262144", "--context=4096"
    )
    flags = flags_of(words_of(script))
    assert json.loads(flags["--limit-mm-per-prompt"]) == {
        "image": {"count": 3, "width": 512, "height": 512},
        "video": 0,
    }
    assert json.loads(flags["--mm-processor-kwargs"])["size"]["longest_edge"] == 262144
    assert flags["--max-model-len"] == "4096"
    assert flags["--host"] == "127.0.0.1"
    assert "--allowed-local-media-path" not in flags
    assert "VLLM_BATCH_INVARIANT" not in script


def test_reproducible_scores_are_an_environment_variable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = printed(capsys, "Qwen/Qwen3-VL-8B-Instruct", "--reproducible", "true")
    subprocess.run(["sh", "-c", script], env=environment(tmp_path), check=True)
    assert "VLLM_BATCH_INVARIANT=1\n" in (tmp_path / "seen.env").read_text()


def test_another_host_is_warned_of_and_reached(capsys: pytest.CaptureFixture[str]) -> None:
    script = printed(capsys, "Qwen/Qwen3-VL-8B-Instruct", "--host", "0.0.0.0", "--port", "9000")
    assert "VLLM_API_KEY" in script
    assert "http://127.0.0.1:9000/v1" in script


def test_the_flags_for_training_name_the_served_model(capsys: pytest.CaptureFixture[str]) -> None:
    script = printed(capsys, "Qwen/Qwen3-VL-8B-Instruct", "--gpus", "2", "--port", "8123")
    line = next(line for line in script.splitlines() if "train.py fit" in line)
    words, _ = find_configs(shlex.split(line.partition("grpo.yaml ")[2]))
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_argument("--reward", type=RewardCallback | None, default=None)
    built: Any = parser.instantiate_classes(parser.parse_args(words))
    scorer = built.reward.scorers[0].scorer
    assert isinstance(scorer, HPScorer)
    assert isinstance(scorer.backend, OpenAIBackend)
    assert (scorer.backend.model, scorer.backend.base_url) == (
        "Qwen/Qwen3-VL-8B-Instruct",
        "http://127.0.0.1:8123/v1",
    )
    assert scorer.backend.max_in_flight == 256


def test_run_without_vllm_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match=r"--run: wanted the command vllm"):
        main(["serve-scorer", "Qwen/Qwen3-VL-8B-Instruct", "--run", "true"])


@pytest.mark.parametrize(
    ("flag", "value"), [("gpus", "0"), ("memory_share", "1.5"), ("images", "1"), ("api_servers", "0")]
)
def test_settings_out_of_range_are_named(flag: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"--{flag}: expected"):
        main(["serve-scorer", "Qwen/Qwen3-VL-8B-Instruct", f"--{flag}", value])
