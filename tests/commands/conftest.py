"""A tiny random judge for the commands that ask one."""

from pathlib import Path

import pytest

from hpedit.miniature.random_checkpoints import make_qwen2_5_vl


@pytest.fixture(scope="session")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_qwen2_5_vl(tmp_path_factory.mktemp("judge"))
