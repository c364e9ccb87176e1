"""A cache of scores in a SQLite file, keyed by content: what was scored once is not paid for again."""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from hpedit.scorers.base import Identified, Score, Scorer, ScoreRequest, sleep, wake

_LAYOUT = 1  # of the file; stored as its user_version
_TABLE = (
    "CREATE TABLE IF NOT EXISTS scores "
    "(key BLOB PRIMARY KEY, value REAL NOT NULL, probabilities TEXT, mass REAL) WITHOUT ROWID"
)
_PATIENCE = 60.0  # seconds to wait for another writer


class CachedScorer:
    """Asks ``scorer`` only for what the file does not hold yet. Leave it out to have no cache.

    A key covers the pictures, the texts, and the scorer's ``identity``: model, prompt and way of reading. Scores that
    could not be had are not kept, and every score says whether the file had it (``Score.cached``). Threads and
    processes of one machine may share a file; a network file system may not be used (SQLite's write-ahead log needs
    shared memory).
    """

    def __init__(self, scorer: Scorer, path: str) -> None:
        """
        Args:
            scorer: the scorer behind the cache; it must be able to name its model, as HPScorer is.
            path: file of the cache, made where there is none.
        """
        if not isinstance(scorer, Identified):
            raise ValueError(
                f"cache: {type(scorer).__name__} does not say what its scores hang on (no identity())"
            )
        self.scorer = scorer
        self.path = path

    def check(self) -> None:
        """Check the scorer and the file. Raises ValueError that names a damaged or foreign file."""
        with self._open() as database:
            [verdict] = database.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise ValueError(f"cache: {self.path} is damaged ({verdict}); move it away to start anew")
        self.scorer.check()

    def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        assert isinstance(self.scorer, Identified)
        keys = [cache_key(self.scorer.identity(request), request) for request in requests]
        with self._open() as database:
            known = _read(database, keys)
        missing = {key: request for key, request in zip(keys, requests, strict=True) if key not in known}
        fresh = dict(zip(missing, self.scorer.score(list(missing.values())) if missing else [], strict=True))
        self._store(fresh)
        scores = known | fresh
        return [replace(scores[key], cached=key in known) for key in keys]

    def identity(self, request: ScoreRequest) -> str:
        assert isinstance(self.scorer, Identified)
        return self.scorer.identity(request)

    def wake(self) -> None:
        wake([self.scorer])

    def sleep(self) -> None:
        sleep([self.scorer])

    def _store(self, fresh: dict[bytes, Score]) -> None:
        """Keep scores. A full disk or a lasting lock costs the keeping, never the scores."""
        rows = [_row(key, score) for key, score in fresh.items() if not math.isnan(score.value)]
        if not rows:
            return
        try:
            with self._open() as database:
                database.execute("BEGIN IMMEDIATE")
                database.executemany("INSERT OR IGNORE INTO scores VALUES (?, ?, ?, ?)", rows)
                database.execute("COMMIT")
        except ValueError as error:
            rank_zero_warn(f"scores are not kept: {error}")

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Open the file for one call: connections may cross neither threads nor forks."""
        try:
            Path(self.path).parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self.path, timeout=_PATIENCE, isolation_level=None)
            with closing(connection) as database:
                _prepare(database, self.path)
                # Readers then need not wait for writers. Fails while others have a new file open: the next call will.
                with suppress(sqlite3.OperationalError):
                    database.execute("PRAGMA journal_mode=WAL")
                yield database
        except (sqlite3.Error, OSError) as error:
            raise ValueError(f"cache: cannot use {self.path}: {error}; move it away to start anew") from error


def cache_key(identity: str, request: ScoreRequest) -> bytes:
    """Return a digest of all that a score hangs on: the scorer, the texts, and each picture's shape and levels."""
    digest = hashlib.sha256()
    for text in (identity, request.task, request.instruction, request.requirement):
        _add(digest, text.encode("utf-8", "surrogatepass"))
    pictures = (*request.sources, request.edit, *(() if request.target is None else (request.target,)))
    _add(digest, f"{len(request.sources)} of {len(pictures)} pictures".encode())
    for picture in pictures:
        _add(digest, f"{picture.dtype} {tuple(picture.shape)}".encode())
        _add(digest, _levels(picture))
    return digest.digest()


def _levels(picture: Tensor) -> bytes:
    return picture.contiguous().cpu().numpy().tobytes()


def _add(digest: hashlib._Hash, field: bytes) -> None:
    """Add a field with its length, so that no two lists of fields run together into one."""
    digest.update(len(field).to_bytes(8, "big"))
    digest.update(field)


def _prepare(database: sqlite3.Connection, path: str) -> None:
    """Make a new file's table; let none but our own files through."""
    if _layout(database) == _LAYOUT:
        return
    # Looked at again under the lock: another thread or process may be making the same file.
    database.execute("BEGIN IMMEDIATE")
    layout = _layout(database)
    if layout == 0 and not database.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
        database.execute(_TABLE)
        database.execute(f"PRAGMA user_version={_LAYOUT}")
        layout = _LAYOUT
    database.execute("COMMIT")
    if layout != _LAYOUT:
        raise ValueError(f"cache: {path} is another kind of database (layout {layout}, not {_LAYOUT})")


def _layout(database: sqlite3.Connection) -> int:
    return database.execute("PRAGMA user_version").fetchone()[0]


def _read(database: sqlite3.Connection, keys: Sequence[bytes]) -> dict[bytes, Score]:
    known: dict[bytes, Score] = {}
    for key in set(keys):
        row = database.execute("SELECT value, probabilities, mass FROM scores WHERE key=?", (key,)).fetchone()
        if row is not None:
            value, probabilities, mass = row
            known[key] = Score(
                value, None if probabilities is None else tuple(json.loads(probabilities)), mass
            )
    return known


def _row(key: bytes, score: Score) -> tuple[bytes, float, str | None, float | None]:
    probabilities = None if score.probabilities is None else json.dumps(score.probabilities)
    return key, score.value, probabilities, score.mass
