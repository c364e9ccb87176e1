"""Naming a checkpoint, so that a score can be kept and found again."""

from __future__ import annotations

from pathlib import Path


def checkpoint_identity(model: str, revision: str | None) -> str:
    """Name a checkpoint: a hub id and revision, or a folder with the size and time of change of each of its files.

    A folder that is written anew has another name, though its path is the same.
    """
    folder = Path(model)
    if not folder.is_dir():
        return f"{model}@{revision}"
    files = [(file.relative_to(folder).as_posix(), file.stat()) for file in sorted(folder.rglob("*"))]
    return f"{folder.resolve()} " + " ".join(f"{name}:{s.st_size}:{s.st_mtime_ns}" for name, s in files)
