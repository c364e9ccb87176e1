"""A folder as the hub has it: the card in README.md says which files are which split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from huggingface_hub.repocard import metadata_load


def training_files(folder: Path) -> list[str] | None:
    """Return the files of the train split of a folder's default configuration; None where no card names any.

    So preference pairs and held-out splits beside it are not taken for cases to train on.
    """
    card = folder / "README.md"
    if not card.is_file():
        return None
    try:
        header = metadata_load(card)
    except (yaml.YAMLError, ValueError):
        return None  # somebody's notes
    patterns = [path for config in _entries(header, "configs") for path in _training_paths(config)]
    found = sorted({str(file) for pattern in patterns for file in folder.glob(pattern)})
    return found or None


def _training_paths(config: dict[str, Any]) -> list[str]:
    if config.get("config_name", "default") != "default":
        return []
    wanted = [entry.get("path") for entry in _entries(config, "data_files") if entry.get("split") == "train"]
    nested = [path if isinstance(path, list) else [path] for path in wanted]
    return [path for paths in nested for path in paths if isinstance(path, str)]


def _entries(record: Any, name: str) -> list[dict[str, Any]]:
    """Return the records of a list in a record; none of anything else that a user may have written there."""
    found = record.get(name) if isinstance(record, dict) else None
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []
