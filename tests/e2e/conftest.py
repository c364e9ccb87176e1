from pathlib import Path

import pytest

from hpedit.miniature.random_checkpoints import make_qwen_image_edit_plus
from tests.e2e.runs import write_data


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny random editor, 12 cases to train on and 3 to validate on."""
    folder = tmp_path_factory.mktemp("studio")
    make_qwen_image_edit_plus(folder / "editor")
    write_data(folder / "train.parquet", 0, 12)
    write_data(folder / "val.parquet", 100, 3)
    return folder
