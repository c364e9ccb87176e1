"""``python -m hpedit rate``: a server that is killed, and the export of what it was told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from hpedit.commands.rate import export, serve
from hpedit.rating.store import Ratings
from hpedit.records import read_cases, write_cases
from tests.rating.support import make_desk, rated_case

ROOT = Path(__file__).parents[2]
TOKEN = "correct-horse-battery"


@pytest.fixture
def data(tmp_path: Path) -> str:
    file = tmp_path / "cases.parquet"
    write_cases(file, (rated_case(n) for n in range(3)))
    return str(file)


@pytest.mark.slow
def test_a_served_page_that_is_killed_has_kept_what_it_acknowledged(data: str, tmp_path: Path):
    db, out = str(tmp_path / "r.sqlite"), tmp_path / "out"
    flags = ["--db", db, "--port", "0", "--token", TOKEN]
    command = [sys.executable, "-m", "hpedit", "rate", "serve", data, *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        try:
            assert server.stdout is not None
            lines = [server.stdout.readline() for _ in range(3)]
            assert "9 items of 3 cases to score" in lines[0]
            link = lines[1].split()[1]
            with httpx.Client(base_url=link.partition("/?")[0], follow_redirects=True) as client:
                assert client.get("/").status_code == 401
                assert client.get(link).status_code == 200
                state = client.post("/api/state", json={"rater": "ann"}).json()
                for value in "431":
                    told = {"rater": "ann", "item": state["items"][0]["id"], "value": value}
                    state = client.post("/api/answer", json={**told, "ms": 5, "screen": "8x8@1"}).json()
            assert state["done"] == 3
        finally:
            os.kill(server.pid, signal.SIGKILL)
    export(data, db, str(out))
    kept = Ratings(db).answers("score")
    assert [a.value for a in kept] == ["4", "3", "1"]
    told = [h for case in read_cases(str(out / "cases.parquet")) for h in case.humans]
    assert sorted(h.value for h in told) == sorted(float(a.value) for a in kept if a.kind == "first")


def answered(folder: Path, mode, value: str) -> str:
    desk = make_desk(folder, mode, cases=3)
    state = desk.state({"rater": "ann"})
    while state["items"]:
        told = {"rater": "ann", "item": state["items"][0]["id"], "value": value, "ms": 5, "screen": "8x8@1"}
        state = desk.answer(told)
    return str(folder / "r.sqlite")


def test_scores_and_votes_of_one_database_are_exported_together(data: str, tmp_path: Path, capsys):
    answered(tmp_path, "score", "4")
    db = answered(tmp_path, "vote", "left")
    export(data, db, str(tmp_path / "out"))
    assert sorted(f.name for f in (tmp_path / "out").iterdir()) == [
        *("cases.parquet", "label_studio.json", "pairs.parquet", "scores.csv", "votes.csv")
    ]
    said = capsys.readouterr().out
    assert "scores.csv: 9 records" in said
    assert "pairs.parquet: 9 records" in said
    assert "label_studio.json: 18 records" in said


def test_an_export_names_what_is_wrong(data: str, tmp_path: Path):
    with pytest.raises(ValueError, match=r"^db: wanted a file with ratings"):
        export(data, str(tmp_path / "none.sqlite"))
    Ratings(tmp_path / "empty.sqlite")
    with pytest.raises(ValueError, match=r"^db: wanted ratings to export, found none"):
        export(data, str(tmp_path / "empty.sqlite"))
    write_cases(tmp_path / "few.parquet", [rated_case(0)])
    with pytest.raises(ValueError, match=r"^data: wanted the edits that were rated, .* lacks 6"):
        export(str(tmp_path / "few.parquet"), answered(tmp_path, "score", "4"), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_serving_names_the_flag_that_is_wrong(data: str, tmp_path: Path):
    db = str(tmp_path / "r.sqlite")
    with pytest.raises(ValueError, match=r"^repeats: wanted"):
        serve(data, db, repeats=2)
    with pytest.raises(ValueError, match=r"^token: wanted 12 characters"):
        serve(data, db, token="short")
    with pytest.raises(ValueError, match=r"^host, port: cannot listen on 192\.0\.2\.1 port 1"):
        serve(data, db, host="192.0.2.1", port=1)
