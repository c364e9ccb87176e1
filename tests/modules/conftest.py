"""The tiny random checkpoint that all training tests share."""

from __future__ import annotations

import pytest

from hpedit.miniature.architectures import VAESize
from hpedit.miniature.random_checkpoints import make_qwen_image_edit_plus


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a Qwen-Image-Edit-Plus whose autoencoder is small: tests decode more than they train."""
    return str(make_qwen_image_edit_plus(tmp_path_factory.mktemp("editor") / "tiny", vae=VAESize(base_dim=4)))
