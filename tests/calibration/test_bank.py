"""The bank of checks: what ships is whole, and a bad file says what is wrong with it."""

from pathlib import Path

import pytest

from hpedit.calibration.bank import load_bank
from hpedit.tasks import TASKS

GOOD = "version: '7'\nprovenance: ours\ngeneral:\n  - Is it sharp?\nbokeh:\n  - Is it blurred?\n"


def written(folder: Path, text: str) -> Path:
    file = folder / "bank.yaml"
    file.write_text(text)
    return file


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_checks_of_its_own_to_choose_from(task: str):
    bank = load_bank()
    assert len(bank.by_task[task]) >= 5
    assert bank.checks(task) == (*bank.by_task[task], *bank.general)
    assert len(set(bank.checks(task))) == len(bank.checks(task))


def test_a_task_without_checks_of_its_own_gets_the_general_ones(tmp_path: Path):
    bank = load_bank(written(tmp_path, GOOD))
    assert bank.checks("bokeh") == ("Is it blurred?", "Is it sharp?")
    assert bank.checks("relighting") == ("Is it sharp?",)
    assert bank.version == "7"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- a list", "expected a mapping of fields, got list"),
        ("general: [", "is not YAML"),
        (GOOD.replace("bokeh", "blur"), "unknown field blur"),
        (GOOD.replace("'7'", "7"), "version: expected text, got 7"),
        (GOOD.replace("provenance: ours\n", ""), "provenance: expected text, got None"),
        (GOOD.replace("Is it sharp?", "It is sharp."), "general: expected a question that ends in"),
        (GOOD.replace("\n  - Is it blurred?", " yes"), "bokeh: expected a list of questions, got True"),
        (GOOD.replace("blurred", "sharp"), "bokeh: the check 'Is it sharp?' is on offer twice"),
    ],
)
def test_a_bad_bank_names_the_field_at_fault(tmp_path: Path, text: str, words: str):
    with pytest.raises(ValueError, match=r"bank: .*bank\.yaml") as error:
        load_bank(written(tmp_path, text))
    assert words in str(error.value)


def test_a_bank_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(ValueError, match=r"bank: cannot read .*none\.yaml"):
        load_bank(tmp_path / "none.yaml")
