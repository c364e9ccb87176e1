"""python -m hpedit score: what a user hands in, what comes out, and what survives a kill."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock

from hpedit.__main__ import main
from hpedit.cases import Candidate, ScoreRecord
from hpedit.records import read_cases, write_cases
from tests.support.cases import flat, grey_case, torn
from tests.support.vlm_server import Behaviour, VLMServer

ROOT = Path(__file__).resolve().parents[2]
DIARY = "--reward.scorers=tests.support.scorers.Diary"
pytestmark = pytest.mark.filterwarnings("ignore")


def cases_in(folder: Path, count: int = 8, **changes) -> Path:
    """Case k has two candidates of the greys 10 k and 10 k + 5."""
    cases = [
        grey_case(
            k,
            candidates=(
                Candidate("k0", flat(10 * k), "base"),
                Candidate("k1", flat(10 * k + 5), "ours"),
            ),
            **changes,
        )
        for k in range(count)
    ]
    write_cases(folder / "cases.parquet", cases)
    return folder / "cases.parquet"


def score(folder: Path, *words: str) -> list[dict[str, str]]:
    main(["score", str(folder / "cases.parquet"), "--out", str(folder / "out.parquet"), *words])
    with (folder / "out.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def diary(folder: Path, *words: str) -> list[str]:
    return [DIARY, f"--reward.scorers.file={folder / 'diary'}", *words]


def asked(folder: Path) -> list[str]:
    return (folder / "diary").read_text().split()


def test_scores_go_into_parquet_csv_and_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = ScoreRecord("k0", "old", value=1.0)
    cases_in(tmp_path, scores=(old,))
    rows = score(tmp_path, *diary(tmp_path))
    levels = [10 * k + 5 * i for k in range(8) for i in range(2)]
    assert [float(row["value"]) for row in rows] == pytest.approx([5 * v / 255 for v in levels], abs=1e-6)
    assert [(row["case_id"], row["cand_id"], row["model"]) for row in rows[:2]] == [
        ("case-0", "k0", "base"),
        ("case-0", "k1", "ours"),
    ]
    back = read_cases(str(tmp_path / "out.parquet"))
    assert [s.value for s in back[3].scores] == pytest.approx([1.0, 5 * 30 / 255, 5 * 35 / 255])
    assert back[3].scores[0] == old
    assert {s.scorer for s in back[3].scores[1:]} == {"Diary"}
    mean = sum(5 * v / 255 for v in levels) / 16  # as many edits of each task
    assert f"the mean of the tasks' means: {mean:.3f}" in capsys.readouterr().out


def test_scoring_again_asks_nothing_and_adds_no_second_score(tmp_path: Path) -> None:
    cases_in(tmp_path)
    first = score(tmp_path, *diary(tmp_path))
    assert score(tmp_path, *diary(tmp_path)) == first
    assert len(asked(tmp_path)) == 16
    (tmp_path / "out.parquet").replace(tmp_path / "cases.parquet")
    score(tmp_path, "--resume", "false", *diary(tmp_path))
    assert len(asked(tmp_path)) == 32
    assert len(read_cases(str(tmp_path / "out.parquet"))[0].scores) == 2


def test_failures_are_counted_and_asked_about_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases_in(tmp_path)
    some = diary(tmp_path, '--reward.scorers.failing=["bokeh"]')
    rows = score(tmp_path, *some)
    assert [row["failure"] for row in rows if row["task"] == "bokeh"] == ["no opinion"] * 2
    assert "not had, 2 x no opinion" in capsys.readouterr().out
    assert all(row["value"] for row in score(tmp_path, *diary(tmp_path)))
    assert len(asked(tmp_path)) == 16 + 2


def test_a_torn_picture_costs_its_own_score(tmp_path: Path) -> None:
    images = [
        Candidate("k0", flat(3)),
        Candidate("k1", torn()),
        *(Candidate(f"g{i}", flat(i)) for i in range(6)),
    ]
    write_cases(tmp_path / "cases.parquet", [grey_case(1, candidates=tuple(images))])
    rows = score(tmp_path, *diary(tmp_path))
    assert [row["cand_id"] for row in rows if not row["value"]] == ["k1"]
    assert "damaged picture" in rows[1]["failure"]
    assert len(asked(tmp_path)) == 7


def test_too_many_failures_stop_with_the_scorers_words_and_keep_what_was_had(tmp_path: Path) -> None:
    cases_in(tmp_path)
    failing = '--reward.scorers.failing=["bokeh","relighting"]'
    with pytest.raises(ConnectionError, match=r"4 of 16 scores .*\(4 times\): no opinion"):
        score(tmp_path, *diary(tmp_path, failing))
    assert not (tmp_path / "out.parquet").exists()
    score(tmp_path, *diary(tmp_path))
    assert len(asked(tmp_path)) == 16 + 4


def test_no_scorer_is_told_how_to_name_one(tmp_path: Path) -> None:
    cases_in(tmp_path)
    with pytest.raises(ValueError, match=r"--reward\.scorers: wanted a scorer, such as --config scorer/vllm"):
        score(tmp_path)


def test_several_scorers_and_a_referee_are_filed_apart_and_joined(tmp_path: Path) -> None:
    cases_in(tmp_path, count=2)
    bright = "{class_path: tests.support.scorers.BrightnessScorer}"
    (tmp_path / "two.yaml").write_text(
        "reward:\n"
        "  scorers:\n"
        f"    - {{name: grey, weight: 3.0, scorer: {bright}}}\n"
        f"    - {{name: exact, weight: 1.0, scorer: {{class_path: tests.support.scorers.Threes}}}}\n"
        f"  referee: {bright}\n"
    )
    rows = score(tmp_path, "--config", str(tmp_path / "two.yaml"))
    mine = {
        row["scorer"]: float(row["value"])
        for row in rows
        if row["case_id"] == "case-1" and row["cand_id"] == "k1"
    }
    grey = 5 * 15 / 255
    assert mine == pytest.approx(
        {"grey": grey, "exact": 3.0, "referee": grey, "reward": (3 * grey + 3.0) / 4}
    )


def test_a_shipped_config_scores_over_a_server_with_the_digits_in_the_csv(
    tmp_path: Path, judge: Path
) -> None:
    cases_in(tmp_path, count=3)
    with VLMServer(judge, Behaviour(boost=20.0)) as server:
        backend = [
            f"--reward.scorers.backend.base_url={server.url}",
            "--reward.scorers.backend.model=tiny-judge",
        ]
        rows = score(tmp_path, "--config", "scorer/vllm.yaml", *backend)
        chats = len(server.chats)
    for row in rows:
        digits = [float(row[f"p{d}"]) for d in range(6)]
        assert sum(digits) == pytest.approx(1)
        assert float(row["value"]) == pytest.approx(sum(d * p for d, p in enumerate(digits)))
        assert int(row["argmax"]) == digits.index(max(digits))
        assert row["scorer"] == "tiny-judge"
    # The server is gone, and is not needed: everything is in the journal.
    assert score(tmp_path, "--config", "scorer/vllm.yaml", *backend) == rows
    assert chats >= 6


@pytest.mark.slow
def test_a_run_killed_at_any_moment_goes_on_where_it_was(tmp_path: Path) -> None:
    cases_in(tmp_path, count=20)
    slow = diary(
        tmp_path, "--reward.batch_size=1", "--reward.max_in_flight=2", "--reward.scorers.seconds=0.2"
    )
    words = ["score", str(tmp_path / "cases.parquet"), "--out", str(tmp_path / "out.parquet"), *slow]
    run = subprocess.Popen(
        [sys.executable, "-m", "hpedit", *words],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    journal, patience = tmp_path / "out.journal.jsonl", time.monotonic() + 120
    while not (journal.exists() and journal.read_bytes().count(b"\n") >= 5):
        assert run.poll() is None
        assert time.monotonic() < patience
        time.sleep(0.02)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert not (tmp_path / "out.parquet").exists()
    had = journal.read_bytes().count(b"\n")
    assert had < 40
    rows = score(tmp_path, *slow[:-1])
    assert len({(row["case_id"], row["cand_id"]) for row in rows if row["value"]}) == 40
    # Paid for twice is only what was under way: two calls of one edit, and two that were about to begin.
    assert len(asked(tmp_path)) <= 40 + 4


def test_two_runs_into_one_file_are_refused(tmp_path: Path) -> None:
    cases_in(tmp_path)
    refused = pytest.raises(ValueError, match=r"--out: another process is scoring into .*out\.parquet")
    with FileLock(tmp_path / ".out.parquet.lock"), refused:
        score(tmp_path, *diary(tmp_path))
    assert not (tmp_path / "diary").exists()
    assert len(score(tmp_path, *diary(tmp_path))) == 16
