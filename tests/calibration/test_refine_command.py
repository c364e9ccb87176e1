"""``python -m hpedit calibrate refine``: rated cases in, new versions of prompts out."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

from hpedit.__main__ import main
from hpedit.calibration.versions import write_version
from hpedit.cases import HumanRating
from hpedit.records import write_cases
from hpedit.scorers.prompts import load_prompts
from tests.calibration.stand_in import GHOST, SHADOW, TASK, plain_prompt, rated

SCORER = [
    *("--reward.scorers", "hpedit.scorers.hp_scorer.HPScorer"),
    *("--reward.scorers.backend", "tests.calibration.stand_in.FaultBackend"),
]


def written(folder: Path, count: int, noise: bool = False) -> str:
    """Write ``count`` rated removals, at random with ``noise``, and one rated bokeh as Parquet."""
    cases = []
    for edit in rated(count, noise=noise):
        humans = tuple(
            HumanRating("k", r, "overall", v) for r, v in zip(edit.raters, edit.ratings, strict=True)
        )
        cases.append(replace(edit.case, humans=humans))
    cases.append(replace(cases[0], case_id="alone", task="bokeh"))
    file = folder / "rated.parquet"
    write_cases(file, cases)
    return str(file)


def test_a_new_version_and_a_page_about_it_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    data, out = written(tmp_path, 48), tmp_path / "v2"
    settings = ["--score_map", "affine", "--engine", "hpedit.calibration.forward_selection.ForwardSelection"]
    main(["calibrate", "refine", data, str(out), *SCORER, *settings, "--engine.max_checks", "3"])
    prompt, shipped = load_prompts(out)[TASK], load_prompts()[TASK]
    assert {GHOST, SHADOW} <= set(prompt.checks)
    assert int(prompt.version) == int(shipped.version) + 1
    assert prompt.map is not None
    assert prompt.calibration is not None
    assert prompt.calibration.data == "rated.parquet"
    said = capsys.readouterr().out
    assert (out / f"{TASK}.md").read_text() in said
    assert "Improved: closeness" in said
    assert f"new versions in {out}: {TASK}" in said
    assert "left as they are, for want of 12 rated cases: bokeh has 1" in said
    assert sorted(path.name for path in out.glob("[!.]*")) == [f"{TASK}.md", f"{TASK}.yaml"]


def test_without_an_improvement_the_prompt_stays_unless_asked_otherwise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Raters at random: what the search likes best on two splits is worth nothing on the third."""
    data, prompts = written(tmp_path, 40, noise=True), tmp_path / "bare"
    write_version(plain_prompt(), prompts)
    words = [data, *SCORER, "--reward.scorers.prompts", str(prompts), "--score_map", "affine"]
    main(["calibrate", "refine", words[0], str(tmp_path / "a"), *words[1:]])
    said = capsys.readouterr().out
    assert "No improvement shown: " in said
    assert "Version 1 stays; --write_unproven true would write" in said
    assert f"new versions in {tmp_path / 'a'}: none" in said
    assert f"prompts that stay as they are: {TASK}" in said
    assert [path.name for path in (tmp_path / "a").glob("[!.]*")] == [f"{TASK}.md"]

    main(["calibrate", "refine", words[0], str(tmp_path / "b"), *words[1:], "--write_unproven", "true"])
    assert "written as a new version all the same" in capsys.readouterr().out
    assert load_prompts(tmp_path / "b")[TASK].version == "2"


def test_two_refinements_into_one_folder_are_refused(tmp_path: Path):
    out = tmp_path / "v2"
    out.mkdir()
    with (
        FileLock(out / ".lock"),
        pytest.raises(ValueError, match=r"out: another process is refining into .*v2"),
    ):
        main(["calibrate", "refine", written(tmp_path, 12), str(out), *SCORER])


def test_a_prompt_that_is_there_is_told_before_anything_is_scored(tmp_path: Path):
    data = written(tmp_path, 12)
    (tmp_path / f"{TASK}.yaml").write_text("mine")
    with pytest.raises(ValueError, match=rf"out: .*{TASK}\.yaml is there already"):
        main(["calibrate", "refine", data, str(tmp_path), *SCORER])
    assert (tmp_path / f"{TASK}.yaml").read_text() == "mine"


def test_too_few_cases_of_a_task_that_was_named_are_an_error(tmp_path: Path):
    with pytest.raises(ValueError, match="expected at least 12 rated cases a task; bokeh has 1"):
        main(["calibrate", "refine", written(tmp_path, 12), str(tmp_path), *SCORER, "--tasks", '["bokeh"]'])


def test_scores_are_kept_in_a_cache(tmp_path: Path):
    data, cache = written(tmp_path, 16), tmp_path / "scores.sqlite"
    cached = [
        *("--reward.scorers", "hpedit.scorers.cache.CachedScorer", "--reward.scorers.path", str(cache)),
        *("--reward.scorers.scorer", "hpedit.scorers.hp_scorer.HPScorer"),
        *("--reward.scorers.scorer.backend", "tests.calibration.stand_in.FaultBackend"),
    ]
    main(["calibrate", "refine", data, str(tmp_path / "v2"), *cached, "--budget", "100"])
    assert (tmp_path / "v2" / f"{TASK}.md").is_file()
    with sqlite3.connect(cache) as database:
        [kept] = database.execute("SELECT count(*) FROM scores").fetchone()
    assert kept > 100  # the engine's hundred, and those of choosing and reporting


def test_a_scorer_without_prompts_is_refused(tmp_path: Path):
    brightness = ["--reward.scorers", "tests.support.scorers.BrightnessScorer"]
    with pytest.raises(ValueError, match=r"expected an HPScorer, .* got BrightnessScorer"):
        main(["calibrate", "refine", written(tmp_path, 12), str(tmp_path), *brightness])
