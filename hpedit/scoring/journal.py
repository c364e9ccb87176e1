"""A file that scores are added to as they come, so that a run that is killed loses next to nothing."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hpedit.cases import ScoreRecord

_FSYNC_SECONDS = 1.0


@dataclass(frozen=True)
class Entry:
    """One score.

    Attributes:
        key: what was judged, by whom and how (Edit.key).
        record: the score; its value is None where it could not be had.
        failure: why it could not.
    """

    key: str
    record: ScoreRecord
    failure: str | None = None


class Journal:
    """Scores by key, in memory and in an append-only file of JSON lines. Used as a context manager, by one thread."""

    def __init__(self, path: Path, fresh: bool) -> None:
        """
        Args:
            path: the file; made where there is none.
            fresh: begin anew, and forget what the file holds.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.entries: dict[str, Entry] = {}
        if fresh:
            path.unlink(missing_ok=True)
        if path.exists():
            self._read()
        self._file = path.open("ab")
        self._synced = time.monotonic()

    def add(self, entries: Iterable[Entry]) -> None:
        """Take entries in, the newest of a key in the place of older ones; on the disk within a second or so."""
        for entry in entries:
            self.entries[entry.key] = entry
            line = {"key": entry.key, "failure": entry.failure, **asdict(entry.record)}
            self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()
        if time.monotonic() - self._synced > _FSYNC_SECONDS:
            self._sync()

    def has(self, key: str) -> bool:
        """Say whether there is a score under ``key``; a failure is none."""
        return key in self.entries and self.entries[key].record.value is not None

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._sync()
        self._file.close()

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._synced = time.monotonic()

    def _read(self) -> None:
        with self.path.open("r+b") as file:
            whole = 0
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._take(line)
                whole += len(line)
            file.truncate(whole)  # a line that a kill cut off

    def _take(self, line: bytes) -> None:
        try:
            facts: dict[str, Any] = json.loads(line)
            key, failure = facts.pop("key"), facts.pop("failure")
            facts["dist"] = tuple(facts["dist"])
            record = ScoreRecord(**facts)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{self.path}: expected a journal of scores, got {line[:80]!r}") from error
        self.entries[key] = Entry(key, record, failure)
