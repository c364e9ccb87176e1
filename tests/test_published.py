"""Which files of a folder are its cases to train on."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpedit.published import training_files
from hpedit.rows import local_files

CARD = """---
license: other
configs:
- config_name: pairs
  data_files:
  - {split: train, path: pairs/*.parquet}
- config_name: default
  data_files:
  - {split: validation, path: data/validation-*.parquet}
  - {split: train, path: [data/train-*.parquet, more.parquet]}
---
# Mine
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("data/train-0", "data/train-1", "data/validation-0", "pairs/train-0", "more"):
        (tmp_path / f"{name}.parquet").parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.parquet").touch()
    return tmp_path


def test_a_card_says_which_files_are_trained_on(folder: Path):
    (folder / "README.md").write_text(CARD)
    wanted = [str(folder / f"{name}.parquet") for name in ("data/train-0", "data/train-1", "more")]
    assert training_files(folder) == wanted
    assert local_files(str(folder)) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "# Notes, no header\n",
        "",
        "---\nconfigs: [\n---\n",
        "---\njust words\n---\n",
        "---\nconfigs: many\n---\n",
        "---\nconfigs: [7, {data_files: x}]\n---\n",
        CARD.replace("data/train-*", "gone/*").replace("more.parquet", "gone.parquet"),
    ],
)
def test_a_readme_that_names_no_files_changes_nothing(folder: Path, text: str):
    (folder / "README.md").write_text(text)
    assert training_files(folder) is None
    assert len(local_files(str(folder))) == 5
