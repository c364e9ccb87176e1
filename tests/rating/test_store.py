"""The store: nothing that was committed is lost, whatever befalls the process."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from hpedit.rating.store import Answer, Ratings

SAID = Answer("ann", "score", "first", "c", "k", None, "4", 900, 1.5, 0, "1280x800@1", "0.1.0", "1")
# Commits answers for ever, and says so after each.
WRITER = """
import sys
from dataclasses import replace
from itertools import count
from hpedit.rating.store import Ratings
from tests.rating.test_store import SAID
ratings = Ratings(sys.argv[1])
for number in count():
    ratings.add(str(number), replace(SAID, place=number))
    print(number, flush=True)
"""


@pytest.fixture
def ratings(tmp_path: Path) -> Ratings:
    return Ratings(tmp_path / "r.sqlite")


def test_an_answer_comes_back_as_it_was_given(ratings: Ratings):
    vote = replace(SAID, mode="vote", right="m", value="left")
    assert ratings.add("s", SAID)
    assert ratings.add("s", vote)
    assert ratings.answers("score") == [SAID]
    assert ratings.answers("vote") == [vote]
    assert ratings.answered("ann", "score") == {"s"}
    assert ratings.answered("bob", "score") == set()


def test_a_slots_first_answer_stands_until_it_is_taken_back(ratings: Ratings):
    assert ratings.add("s", SAID)
    assert not ratings.add("s", replace(SAID, value="1"))
    assert [a.value for a in ratings.answers("score")] == ["4"]
    assert ratings.undo("ann", "score") == "4"
    assert ratings.add("s", replace(SAID, value="1"))
    assert [a.value for a in ratings.answers("score")] == ["1"]


def test_undo_goes_back_answer_by_answer_of_this_rater_and_mode_only(ratings: Ratings):
    for slot, value in zip("abc", "123", strict=True):
        ratings.add(slot, replace(SAID, value=value))
    ratings.add("a", replace(SAID, rater="bob", value="5"))
    ratings.add("a", replace(SAID, mode="vote", right="m", value="tie"))
    assert [ratings.undo("ann", "score") for _ in range(4)] == ["3", "2", "1", None]
    assert [a.rater for a in ratings.answers("score")] == ["bob"]
    assert len(ratings.answers("vote")) == 1


def test_what_was_taken_back_is_kept_as_evidence(ratings: Ratings, tmp_path: Path):
    ratings.add("s", SAID)
    ratings.undo("ann", "score")
    rows = sqlite3.connect(tmp_path / "r.sqlite").execute("SELECT value, undone FROM answers").fetchall()
    assert rows == [("4", 1)]


def test_the_secret_is_drawn_once(tmp_path: Path):
    secrets = {Ratings(tmp_path / "r.sqlite").secret() for _ in range(3)}
    assert len(secrets) == 1
    assert Ratings(tmp_path / "other.sqlite").secret() not in secrets


def test_commits_wait_for_the_disk(ratings: Ratings):
    assert ratings._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert ratings._db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def test_raters_who_answer_at_once_lose_nothing(ratings: Ratings):
    def rate(name: str) -> None:
        for number in range(25):
            ratings.add(str(number), replace(SAID, rater=name))

    raters = [threading.Thread(target=rate, args=(f"r{i}",)) for i in range(4)]
    for thread in raters:
        thread.start()
    for thread in raters:
        thread.join()
    assert len(ratings.answers("score")) == 100


def test_a_killed_process_loses_no_answer_that_it_acknowledged(tmp_path: Path):
    file = tmp_path / "r.sqlite"
    command = [sys.executable, "-c", WRITER, str(file)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as writer:
        assert writer.stdout is not None
        for _ in range(20):
            assert writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        acknowledged = 20 + len(writer.stdout.readlines())
    kept = [answer.place for answer in Ratings(file).answers("score")]
    assert kept[:acknowledged] == list(range(acknowledged))


def test_a_file_that_is_no_database_is_told(tmp_path: Path):
    (tmp_path / "r.sqlite").write_text("not a database, but long enough to be taken for one" * 20)
    with pytest.raises(ValueError, match=r"^db: .*r\.sqlite cannot be used"):
        Ratings(tmp_path / "r.sqlite")
    with pytest.raises(ValueError, match=r"^db: wanted a file with ratings"):
        Ratings(tmp_path / "none.sqlite", must_exist=True)
