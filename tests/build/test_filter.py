"""The filter over a data set: who stays, with which weight, and what the report says."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from hpedit.build.chunks import ParquetRecords
from hpedit.build.engine import Engine
from hpedit.build.filter import Filter
from hpedit.build.hardness import Difficulty, Rule
from hpedit.build.kinds import CASES
from hpedit.build.stage import Recipe
from hpedit.build.step import Step
from hpedit.cases import Candidate, Case, ScoreRecord
from hpedit.records import read_cases, write_cases
from tests.support.cases import flat, grey_case, scored

DATA = [
    grey_case(0, task="bokeh", **scored(5.0, 5.0)),
    grey_case(1, task="bokeh", **scored(5.0, 2.0)),
    grey_case(2, task="bokeh", **scored(0.1, 0.2)),
    grey_case(3, task="relighting", **scored(None, 2.5)),
    grey_case(4, task="relighting", **scored(None, None)),
]


@pytest.fixture
def records(tmp_path: Path) -> ParquetRecords:
    write_cases(tmp_path / "cases.parquet", DATA)
    return ParquetRecords(CASES, (tmp_path / "cases.parquet",))


def kept_ids(light: pa.Table, stage: Filter) -> list[str]:
    return light.column("case_id").take(pa.array(stage.keep(light).rows)).to_pylist()


def test_the_light_columns_hold_no_pictures(records: ParquetRecords):
    light = records.light(Filter.columns)
    assert not any("bytes" in str(field.type) or "binary" in str(field.type) for field in light.schema)
    assert kept_ids(light, Filter()) == ["case-1", "case-2", "case-3"]


def test_without_a_rule_all_that_have_a_score_stay(records: ParquetRecords):
    assert kept_ids(records.light(Filter.columns), Filter(rule=None)) == [f"case-{i}" for i in range(4)]


def test_a_target_counts_only_where_the_base_model_has_no_edits(tmp_path: Path):
    score, target = ScoreRecord("target", "people", value=5.0), Candidate("target", flat(9))
    both = {"candidates": (*scored(1.0)["candidates"], target), "scores": (*scored(1.0)["scores"], score)}
    alone = {"candidates": (target,), "scores": (score,)}
    write_cases(tmp_path / "x.parquet", [grey_case(0, **both), grey_case(1, **alone)])
    light = ParquetRecords(CASES, (tmp_path / "x.parquet",)).light(Filter.columns)
    assert kept_ids(light, Filter(Rule(by="expectation", over="best"))) == ["case-0"]


def test_the_report_has_kept_shares_and_histograms_by_task(records: ParquetRecords):
    notes = Filter(Rule(hopeless=1.0)).keep(records.light(Filter.columns)).notes
    assert notes["verdicts"] == {"kept": 2, "solved": 1, "hopeless": 1, "unscored": 1}
    assert notes["missing_scores"] == 3
    assert notes["by_task"] == {
        "bokeh": {
            "before": 3,
            "kept": 1,
            "share": 0.3333,
            "histogram_before": [1, 0, 0, 0, 1, 1],
            "histogram_after": [0, 0, 0, 0, 1, 0],
        },
        "relighting": {
            "before": 2,
            "kept": 1,
            "share": 0.5,
            "histogram_before": [0, 0, 0, 1, 0, 0],
            "histogram_after": [0, 0, 0, 1, 0, 0],
        },
    }


def through(records: ParquetRecords, folder: Path, stage: Filter) -> list[Case]:
    Step(records, folder, Engine()).do(stage, Recipe(()))
    return list(read_cases(str(folder / "chunk-*.parquet")))


def test_weights_are_written_into_the_cases(records: ParquetRecords, tmp_path: Path):
    cases = through(records, tmp_path / "filter", Filter(rule=None, difficulty=Difficulty(least=0.2)))
    weights = {case.case_id: case.weight for case in cases}
    assert sum(weights.values()) / len(weights) == pytest.approx(1)
    assert sorted(weights, key=weights.__getitem__) == ["case-0", "case-2", "case-3", "case-1"]


def test_without_difficulty_all_weigh_one(records: ParquetRecords, tmp_path: Path):
    assert {case.weight for case in through(records, tmp_path / "filter", Filter())} == {1.0}
