"""Tests against a real vLLM, whose environment's Python HPEDIT_VLLM_PYTHON names: `make test-vllm`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpedit.miniature.architectures import VLMSize
from hpedit.miniature.random_checkpoints import make_qwen2_5_vl, make_qwen3_vl
from tests.vllm.real_server import RealServer

PYTHON = os.environ.get("HPEDIT_VLLM_PYTHON")
# vLLM's attention on a CPU wants heads of 32 or more.
SIZE = VLMSize(hidden=128, heads=2, kv_heads=1)
MAKERS = {"Qwen2.5-VL": make_qwen2_5_vl, "Qwen3-VL": make_qwen3_vl}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "vllm: wants a real vLLM in an environment of its own (make test-vllm)"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.vllm)
            item.add_marker(pytest.mark.timeout(1800))
            if PYTHON is None:
                item.add_marker(pytest.mark.skip(reason="make test-vllm runs it"))


@pytest.fixture(scope="session")
def python() -> str:
    assert PYTHON is not None
    return PYTHON


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("judges")
    return {name: make(folder / name, SIZE) for name, make in MAKERS.items()}


@pytest.fixture(scope="module")
def server(
    request: pytest.FixtureRequest,
    models: dict[str, Path],
    python: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RealServer]:
    """A server of the model that the test module names in its parameters."""
    log = tmp_path_factory.mktemp("log") / "vllm.log"
    with RealServer(python, models[request.param], log) as running:
        print(f"\n{request.param}: ready in {running.started_in:.0f} s")
        yield running
