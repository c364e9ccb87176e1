"""vLLM inside this process gives the scores of transformers too, as far as a CPU can tell."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.vllm.real_server import ROOT, environment
from tests.vllm.test_served import TOLERANCE


@pytest.mark.parametrize("model", ["Qwen3-VL"])
def test_vllm_in_process_and_transformers_agree(
    model: str, models: dict[str, Path], python: str, tmp_path: Path
) -> None:
    out = tmp_path / "scores.json"
    command = [python, "-m", "tests.vllm.in_process", str(models[model]), "12", str(out)]
    ran = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=900)
    assert ran.returncode == 0, ran.stderr[-3000:]
    scores = json.loads(out.read_text())
    theirs, ours = ([value for value, _, _ in scores[name]] for name in ("vllm", "local"))
    print(f"largest difference {max(abs(a - b) for a, b in zip(theirs, ours, strict=True)):.2g}")
    assert theirs == pytest.approx(ours, abs=TOLERANCE)
    assert [m for _, m, _ in scores["vllm"]] == pytest.approx([m for _, m, _ in scores["local"]], rel=0.01)
    assert scores["texts"] == 2
