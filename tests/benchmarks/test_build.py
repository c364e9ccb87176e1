"""What the benchmark of a build feeds to its stages, and that a stage is measured by what it did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest

from benchmarks.build import Name, measure, prepare
from benchmarks.build_inputs import cases
from hpedit.build.kinds import CASES

ROWS, SIDE = 300, 16


@pytest.mark.parametrize("name", get_args(Name))
def test_every_stage_gets_as_many_records_as_asked(tmp_path: Path, name: Name):
    records = prepare(tmp_path, name, ROWS, SIDE)
    assert len(set(records.light(()).column(0).to_pylist())) == len(records) == ROWS


def test_pictures_are_files_of_their_own_that_decode(tmp_path: Path):
    [table] = cases(tmp_path, 40, SIDE, scored=True).tables(64)
    made = CASES.records(table)
    assert len({case.source.fingerprint() for case in made}) == 40
    assert all(case.source.decode().size == (SIDE, SIDE) for case in made)


def test_a_stage_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    measure(tmp_path, "filter", ROWS, SIDE)
    figures = json.loads(capsys.readouterr().out)
    assert 0 < figures["out"] < figures["in"] == ROWS
    assert 0 < figures["before"] <= figures["peak"]
