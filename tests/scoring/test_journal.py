"""The journal keeps every score that was written whole, whatever happens to the process."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpedit.cases import ScoreRecord
from hpedit.scoring.journal import Entry, Journal


def entry(key: str, value: float | None = 2.5, failure: str | None = None) -> Entry:
    return Entry(key, ScoreRecord(key, "hp", "1", "expectation", value, (0.0, 1.0), 0.9, 1.5), failure)


def test_what_was_filed_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    with Journal(tmp_path / "deep" / "j.jsonl", fresh=False) as journal:
        journal.add([entry("a"), entry("b", None, "busy")])
    with Journal(tmp_path / "deep" / "j.jsonl", fresh=False) as again:
        assert again.entries == {"a": entry("a"), "b": entry("b", None, "busy")}
        assert again.has("a")
        assert not again.has("b"), "a failure is asked about again"
        again.add([entry("b", 4.0)])
        assert again.has("b")


def test_a_line_cut_off_by_a_kill_is_dropped_and_the_file_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "j.jsonl"
    with Journal(file, fresh=False) as journal:
        journal.add([entry("a"), entry("b")])
    whole = file.read_bytes()
    for cut in range(1, len(whole) - 1, 7):
        file.write_bytes(whole[:-cut])
        with Journal(file, fresh=False) as journal:
            assert set(journal.entries) <= {"a", "b"}
            assert len(journal.entries) == whole[:-cut].count(b"\n")
            journal.add([entry("c")])
        with Journal(file, fresh=False) as journal:
            assert journal.entries["c"] == entry("c")


def test_an_answer_is_in_the_file_at_once(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.jsonl", fresh=False) as journal:
        journal.add([entry("a")])
        assert (tmp_path / "j.jsonl").read_bytes().count(b"\n") == 1


def test_a_fresh_journal_forgets(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.jsonl", fresh=False) as journal:
        journal.add([entry("a")])
    with Journal(tmp_path / "j.jsonl", fresh=True) as journal:
        assert journal.entries == {}


def test_a_file_that_is_no_journal_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "j.jsonl").write_text("my notes\n")
    with pytest.raises(ValueError, match="expected a journal of scores, got b'my notes"):
        Journal(tmp_path / "j.jsonl", fresh=False)
    assert (tmp_path / "j.jsonl").read_text() == "my notes\n"
