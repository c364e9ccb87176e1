"""The one editor that ships with the package."""

from pathlib import Path

MINIATURE = "miniature"


def checkpoint_folder() -> Path:
    """Return the folder of the miniature editor."""
    return Path(__file__).resolve().parents[1] / "miniature" / "checkpoint"


def resolve_model(model: str) -> str:
    """Return the folder for "miniature", and any other folder or hub id as it is."""
    return str(checkpoint_folder()) if model == MINIATURE else model
