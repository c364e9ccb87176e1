"""What people answered, in SQLite: each answer is on the disk before the next item is shown."""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from hpedit.rating.order import Kind, Mode

SCORES = ("0", "1", "2", "3", "4", "5")
VOTES = ("left", "right", "tie", "both_bad")
BROKEN = "broken"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS answers (
    number INTEGER PRIMARY KEY,
    slot TEXT NOT NULL,
    rater TEXT NOT NULL, mode TEXT NOT NULL, kind TEXT NOT NULL, case_id TEXT NOT NULL,
    left TEXT NOT NULL, right TEXT,
    value TEXT NOT NULL, ms INTEGER NOT NULL, ts REAL NOT NULL,
    place INTEGER NOT NULL, screen TEXT NOT NULL, app TEXT NOT NULL, prompt TEXT NOT NULL,
    undone INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX IF NOT EXISTS one_answer ON answers (rater, mode, slot) WHERE NOT undone;
"""
_COLUMNS = "rater, mode, kind, case_id, left, right, value, ms, ts, place, screen, app, prompt"


@dataclass(frozen=True)
class Answer:
    """What a rater said of one slot.

    Attributes:
        left, right: candidates shown; ``right`` is None where one was scored.
        value: a digit 0-5, one of VOTES, or BROKEN.
        ms: time from the pictures' appearance to the key, in milliseconds.
        ts: seconds since the epoch.
        place: the slot's place in the rater's order, from 0.
        screen: the browser's window, "1280x800@2": CSS pixels, and device pixels to one of them.
        app, prompt: versions of hpedit and of the prompt whose scale and checks were shown.
    """

    rater: str
    mode: Mode
    kind: Kind
    case_id: str
    left: str
    right: str | None
    value: str
    ms: int
    ts: float
    place: int
    screen: str
    app: str
    prompt: str

    @property
    def score(self) -> float | None:
        """The score in [0, 5]; None for a vote, and for an item that was flagged as broken."""
        return float(self.value) if self.value in SCORES else None

    @property
    def winner(self) -> str | None:
        """The candidate voted for; None for a tie, both bad, and a score."""
        return {"left": self.left, "right": self.right}.get(self.value)


assert ", ".join(f.name for f in fields(Answer)) == _COLUMNS


class Ratings:
    """The answers of all raters. Methods may be called from several threads, the file from several processes."""

    def __init__(self, path: str | Path, must_exist: bool = False) -> None:
        """
        Args:
            path: the database, made where there is none.
            must_exist: refuse to make one.

        Raises ValueError that names the file where it is not such a database.
        """
        file = Path(path)
        if must_exist and not file.is_file():
            raise ValueError(f"db: wanted a file with ratings, found none at {path}")
        self._lock = threading.Lock()
        self._db = _connect(file)

    def secret(self) -> str:
        """Return what keys this database's item ids: drawn once, so that links survive a restart."""
        with self._transaction() as db:
            db.execute("INSERT OR IGNORE INTO facts VALUES ('secret', ?)", (secrets.token_hex(32),))
            return db.execute("SELECT value FROM facts WHERE name = 'secret'").fetchone()[0]

    def add(self, slot: str, answer: Answer) -> bool:
        """Commit an answer to the disk; return whether it is new: a slot's first answer stands."""
        marks = ", ".join("?" * (1 + len(fields(Answer))))
        with self._transaction() as db:
            done = db.execute(
                f"INSERT OR IGNORE INTO answers (slot, {_COLUMNS}) VALUES ({marks})", (slot, *astuple(answer))
            )
            return done.rowcount == 1

    def undo(self, rater: str, mode: Mode) -> str | None:
        """Take a rater's last answer back and return what it was, None where there is none. The row is kept."""
        with self._transaction() as db:
            last = db.execute(
                "SELECT number, value FROM answers WHERE rater = ? AND mode = ? AND NOT undone "
                "ORDER BY number DESC LIMIT 1",
                (rater, mode),
            ).fetchone()
            if last is None:
                return None
            db.execute("UPDATE answers SET undone = 1 WHERE number = ?", (last[0],))
            return last[1]

    def answered(self, rater: str, mode: Mode) -> set[str]:
        """Return the slots that a rater has answered."""
        query = "SELECT slot FROM answers WHERE rater = ? AND mode = ? AND NOT undone"
        with self._lock:
            return {row[0] for row in self._db.execute(query, (rater, mode))}

    def answers(self, mode: Mode) -> list[Answer]:
        """Return all answers that stand, in the order they came."""
        query = f"SELECT {_COLUMNS} FROM answers WHERE mode = ? AND NOT undone ORDER BY number"
        with self._lock:
            return [Answer(*row) for row in self._db.execute(query, (mode,))]

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Hold the write lock; commit at the end, or take all back."""
        with self._lock, self._db:
            # IMMEDIATE: a reader that becomes a writer could otherwise be refused halfway.
            self._db.execute("BEGIN IMMEDIATE")
            yield self._db


def _connect(file: Path) -> sqlite3.Connection:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(file, timeout=30, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA journal_mode = WAL")
        # FULL: a commit returns when the disk has it. WAL's default would lose the last answers in a power cut.
        db.execute("PRAGMA synchronous = FULL")
        db.executescript(_SCHEMA)
    except (OSError, sqlite3.Error) as error:
        raise ValueError(f"db: {file} cannot be used as a database of ratings: {error}") from error
    return db
