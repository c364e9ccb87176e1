"""A tiny random judge, and requests to put to it."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hpedit.miniature.random_checkpoints import make_qwen2_5_vl
from hpedit.scorers.base import ScoreRequest
from hpedit.tasks import TASKS

MakeRequests = Callable[[int], list[ScoreRequest]]


@pytest.fixture(scope="session")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_qwen2_5_vl(tmp_path_factory.mktemp("judge"))


@pytest.fixture
def make_requests() -> MakeRequests:
    """Requests of different tasks, texts and picture sizes; pairs of them share their source."""

    def make(count: int) -> list[ScoreRequest]:
        draw = torch.Generator().manual_seed(7)

        def picture(height: int, width: int) -> torch.Tensor:
            return torch.randint(0, 256, (3, height, width), generator=draw, dtype=torch.uint8)

        requests: list[ScoreRequest] = []
        for i in range(count):
            sources = requests[-1].sources if i % 2 else (picture(56 + 28 * (i % 3), 84),)
            text, requirement = f"Edit number {i}" + " please" * i, "keep the sky" if i % 3 == 0 else ""
            requests.append(
                ScoreRequest(
                    f"case-{i}", TASKS[i % 8], text, requirement, sources, picture(84, 56 + 28 * (i % 2))
                )
            )
        return requests

    return make
