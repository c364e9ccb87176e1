"""``python -m hpedit calibrate`` as it is typed."""

import json
import re
from dataclasses import replace

import pytest

from hpedit.__main__ import main
from hpedit.records import read_cases, write_cases
from tests.support.rated_cases import rated_cases

BRIGHTNESS = "tests.support.scorers.BrightnessScorer"


@pytest.fixture
def rated(tmp_path):
    write_cases(tmp_path / "rated.parquet", rated_cases(12, 2))
    return str(tmp_path / "rated.parquet")


def calibrate(*words):
    main(["calibrate", *map(str, words)])


def test_agreement_of_the_stored_scores(rated, tmp_path, capsys):
    calibrate("agreement", rated, "--out", tmp_path / "r", "--resamples", 20)
    assert "24 edits of 12 cases, rated by 3 people" in capsys.readouterr().out
    (report,) = json.loads((tmp_path / "r" / "agreement.json").read_text())
    assert report["judge"] == "stub, prompt 1, expectation"
    assert (tmp_path / "r" / "agreement.html").is_file()


def test_agreement_of_a_scorer_that_is_asked_now(rated, tmp_path):
    calibrate("agreement", rated, "--out", tmp_path / "r", "--resamples", 20, "--reward.scorers", BRIGHTNESS)
    (report,) = json.loads((tmp_path / "r" / "agreement.json").read_text())
    assert (report["judge"], report["pooled"]["edits"]) == ("BrightnessScorer", 24)


def test_too_many_failures_are_an_error_and_no_report(rated, tmp_path):
    failing = ("--reward.scorers", BRIGHTNESS, "--reward.scorers.failing", '["bokeh"]')
    with pytest.raises(ValueError, match=r"max_failed_share: expected at most 0.2 .* got 8: 8 x no opinion"):
        calibrate("agreement", rated, "--out", tmp_path / "r", *failing)
    assert not (tmp_path / "r").exists()
    calibrate("agreement", rated, "--out", tmp_path / "r", *failing, "--reward.max_failed_share", 0.5)
    (report,) = json.loads((tmp_path / "r" / "agreement.json").read_text())
    assert report["failures"] == {"no opinion": 8}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--dim", "taste"), "dim: expected edits rated in 'taste', got overall"),
        (("--judge", "gpt"), "--judge: expected part of one of stub, prompt 1, expectation, got 'gpt'"),
        (("--resamples", "-1"), "--resamples and --gallery: expected 0 or more"),
    ],
)
def test_a_wrong_flag_is_named(rated, tmp_path, words, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        calibrate("agreement", rated, "--out", tmp_path / "r", *words)


def test_import_of_a_csv(tmp_path, capsys):
    bare = [replace(case, humans=()) for case in rated_cases(3)]
    write_cases(tmp_path / "cases.parquet", bare)
    (tmp_path / "r.csv").write_text("case_id,cand_id,rater,value\ncase-001,k0,zoe,4\ncase-009,k0,zoe,4\n")
    out = tmp_path / "rated.parquet"
    calibrate("import", tmp_path / "r.csv", "csv", "--data", tmp_path / "cases.parquet", "--out", out)
    said = capsys.readouterr().out
    assert "1 x a rating of a case that the data do not have: r.csv:3 (case-009)" in said
    (case,) = read_cases(str(out))
    assert [(h.rater, h.value) for h in case.humans] == [("zoe", 4.0)]


def test_import_wants_the_cases_that_ratings_speak_of(tmp_path):
    (tmp_path / "r.csv").write_text("case_id,cand_id,rater,value\n")
    with pytest.raises(ValueError, match="--data: expected the case file"):
        calibrate("import", tmp_path / "r.csv", "csv")
    with pytest.raises(ValueError, match="--data: expected none: edithf brings its own cases"):
        calibrate("import", tmp_path / "r.jsonl", "edithf", "--data", "cases.parquet")
    with pytest.raises(ValueError, match="found nothing at"):
        calibrate("import", tmp_path / "none.jsonl", "edithf")


def test_drift_of_another_judge_ends_with_1(rated, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        calibrate("drift", rated, "--out", tmp_path / "d.json", "--reward.scorers", BRIGHTNESS)
    assert ended.value.code == 1
    assert "drifted: all edits moved by" in capsys.readouterr().out
    assert json.loads((tmp_path / "d.json").read_text())["verdict"] == "drifted"


def test_drift_needs_no_human_ratings_and_wants_one_scorer(rated, tmp_path):
    write_cases(tmp_path / "a.parquet", [replace(case, humans=()) for case in rated_cases(6)])
    with pytest.raises(ValueError, match="wanted a scorer"):
        calibrate("drift", tmp_path / "a.parquet")
    loose = ("--limits.shift", 9, "--limits.plcc", -1)
    calibrate("drift", tmp_path / "a.parquet", "--reward.scorers", BRIGHTNESS, *loose)


def test_refine_wants_an_hp_scorer(rated, tmp_path):
    with pytest.raises(ValueError, match=r"expected .* HPScorer, whose prompts"):
        calibrate("refine", rated, tmp_path / "p", "--reward.scorers", BRIGHTNESS)
