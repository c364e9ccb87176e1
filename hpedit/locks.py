"""A file or folder for one process at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def alone(lock: Path, refusal: str) -> Iterator[None]:
    """Hold ``lock``, a file made for nothing else, as long as the block lasts.

    The system drops it when the process dies, so that a killed run locks nobody out.
    Raises ValueError with ``refusal`` where another process holds it.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(lock, timeout=0)
    try:
        held.acquire()
    except Timeout:
        raise ValueError(refusal) from None
    try:
        yield
    finally:
        held.release()
