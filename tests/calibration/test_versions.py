"""A winner becomes a new version: numbered, with its record, readable, and never over another file."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from hpedit.calibration.asking import Asked, prompted
from hpedit.calibration.forward_selection import ForwardSelection
from hpedit.calibration.refine import Refinement, refine
from hpedit.calibration.versions import new_version, next_version, version_file, write_version
from hpedit.scorers.hp_scorer import HPScorer
from hpedit.scorers.prompts import ScoringPrompt, load_prompts
from tests.calibration.stand_in import GHOST, SHADOW, TASK, FaultBackend, plain_prompt, rated

DAY = date(2026, 11, 21)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Refinement:
    bank = tmp_path_factory.mktemp("bank") / "bank.yaml"
    bank.write_text(f"version: '3'\nprovenance: test\n{TASK}:\n  - {GHOST}\n  - {SHADOW}\n")
    base = replace(plain_prompt(), name="base")
    asked = Asked(prompted(HPScorer(FaultBackend())))
    return refine(rated(60), asked, plain_prompt("Is it?"), base, ForwardSelection(bank), score_map="affine")


@pytest.fixture
def version(found: Refinement) -> ScoringPrompt:
    return new_version(found, "our ratings", DAY)


@pytest.mark.parametrize(
    ("version", "following"), [("1", "2"), ("9", "10"), ("v1.9", "v1.10"), ("draft", "draft.2")]
)
def test_versions_count_on(version: str, following: str):
    assert next_version(version) == following


def test_the_record_says_how_the_version_came_about(version: ScoringPrompt, found: Refinement):
    record = version.calibration
    assert record is not None
    assert version.version == "2"
    assert version.provenance == (
        "A test. Checks of version 1 refined on 60 rated edits of our ratings, 2026-11-21, "
        "by forward selection from bank 3, at most 8 checks."
    )
    assert (record.data, record.date, record.n) == ("our ratings", "2026-11-21", 60)
    assert record.splits == {"optimise": 30, "select": 15, "report": 15}
    assert record.before["plcc"] < record.after["plcc"]
    assert record.before["mae"] > record.after["mae"]
    assert record.after["gain_low"] <= record.after["gain"] <= record.after["gain_high"]
    assert record.after["gain_recalibrated_low"] > 0
    assert record.after["missing"] == 0


def test_what_is_written_is_what_is_read_by_the_scorer(version: ScoringPrompt, tmp_path: Path):
    file = write_version(version, tmp_path / "new")
    assert file == tmp_path / "new" / f"{TASK}.yaml"
    assert load_prompts(tmp_path / "new")[TASK] == version


def test_no_version_is_written_over_another(version: ScoringPrompt, tmp_path: Path):
    write_version(version, tmp_path)
    before = version_file(tmp_path, "bokeh").parent.joinpath(f"{TASK}.yaml").read_text()
    with pytest.raises(ValueError, match=f"out: .*{TASK}.yaml is there already"):
        write_version(replace(version, version="9"), tmp_path)
    assert (tmp_path / f"{TASK}.yaml").read_text() == before
