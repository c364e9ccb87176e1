"""A real vLLM server on loopback, started from an environment of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import httpx

from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 600.0  # seconds that a start may take on a busy machine; 100 are usual on two cores
CONTEXT = 4096  # tokens of the longest prompt
OPTIONS = ["--dtype", "float32", "--max-model-len", f"{CONTEXT}", "--limit-mm-per-prompt", '{"image": 2}']
OPTIONS += ["--enforce-eager", "--block-size", "32"]


def environment() -> dict[str, str]:
    """Return what vLLM on a CPU is started with: the repair of torchvision, no compiler, a small key-value cache."""
    paths = f"{Path(__file__).parent / 'site'}{os.pathsep}{ROOT}"
    settings = {"PYTHONPATH": paths, "TORCHDYNAMO_DISABLE": "1", "OMP_NUM_THREADS": "1"}
    settings |= {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    return {**os.environ, **settings}


class RealServer:
    """``start`` it, ``kill`` it, ``start`` it again at the same address; use as a context manager."""

    def __init__(self, python: str, model: Path, log: Path, name: str = "judge") -> None:
        self.python = python
        self.model = model
        self.log = log
        self.name = name
        self.port = free_port()
        self.started_in = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> RealServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start and wait until it answers."""
        # The `vllm` command looks for a package of that name, which vllm-cpu is not.
        command = [self.python, "-m", "vllm.entrypoints.openai.api_server", "--model", str(self.model)]
        command += [
            "--served-model-name",
            self.name,
            "--host",
            "127.0.0.1",
            "--port",
            f"{self.port}",
            *OPTIONS,
        ]
        began = time.monotonic()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, env=environment(), start_new_session=True
            )
        while not self._answers():
            assert self._process.poll() is None, f"the server died: {self.log.read_text()[-2000:]}"
            assert time.monotonic() - began < PATIENCE, f"no answer in {PATIENCE:g} s: {self.log}"
            time.sleep(1.0)
        self.started_in = time.monotonic() - began

    def kill(self) -> None:
        """Kill it and all its workers at once, as a machine that goes down does."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def counter(self, name: str) -> float:
        """Return the sum of a counter of /metrics."""
        text = _get(self.url.removesuffix("/v1") + "/metrics").text
        values = re.findall(rf"^vllm:{name}(?:\{{.*\}})? (\S+)$", text, re.MULTILINE)
        assert values, f"no counter vllm:{name}"
        return sum(map(float, values))

    def _answers(self) -> bool:
        try:
            return _get(f"{self.url}/models").is_success
        except httpx.TransportError:
            return False


def _get(url: str) -> httpx.Response:
    # A proxy from the environment cannot reach this machine's own loopback.
    return httpx.get(url, timeout=10.0, trust_env=False)
