"""A prompt is written as it is read, and a bad field is named with what was wanted."""

from dataclasses import replace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hpedit.scorers.prompt_schema import CalibrationRecord, ScoringPrompt, dump_prompt, parse_prompt
from hpedit.scorers.prompts import load_prompts
from hpedit.scorers.score_map import AffineMap, IsotonicMap, ScoreMap

PROMPTS = load_prompts()
RECORD = CalibrationRecord(
    data="photographs of May",
    date="2026-11-21",
    n=90,
    splits={"optimise": 40, "select": 20, "report": 30},
    engine="forward selection",
    before={"plcc": 0.71, "mae": 0.9},
    after={"plcc": 0.88, "mae": 0.4},
)
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1).map(str.strip)
TEXTS = TEXT.filter(bool)
FIGURES = st.dictionaries(TEXTS, st.floats(allow_nan=False, allow_infinity=False), max_size=3)
MAPS: st.SearchStrategy[ScoreMap] = st.builds(
    AffineMap, st.floats(0.01, 100), st.floats(-10, 10)
) | st.integers(2, 6).flatmap(
    lambda n: st.builds(
        IsotonicMap,
        st.lists(st.floats(0, 5), min_size=n, max_size=n, unique=True).map(lambda x: tuple(sorted(x))),
        st.lists(st.floats(0, 5), min_size=n, max_size=n).map(lambda x: tuple(sorted(x))),
    )
)


@st.composite
def prompts(draw: st.DrawFn) -> ScoringPrompt:
    lines = st.lists(TEXTS, max_size=3).map(tuple)
    record = st.builds(
        CalibrationRecord,
        data=TEXTS,
        date=st.dates().map(str),
        n=st.integers(0, 999),
        splits=st.dictionaries(TEXTS, st.integers(0, 99), max_size=3),
        engine=TEXTS,
        before=FIGURES,
        after=FIGURES,
    )
    return ScoringPrompt(
        name="bokeh",
        version=draw(TEXTS),
        provenance=draw(TEXTS),
        order=draw(st.sampled_from(["rubric_first", "images_first"])),
        preamble=draw(TEXTS),
        checks=draw(lines),
        caps=draw(lines),
        scale=tuple(draw(st.lists(TEXTS, min_size=6, max_size=6))),
        answer=draw(TEXTS),
        calibration=draw(st.none() | record),
        map=draw(st.none() | MAPS),
    )


@given(prompts())
def test_what_is_written_reads_back_equal(prompt: ScoringPrompt) -> None:
    assert parse_prompt(dump_prompt(prompt), prompt.name, "memory") == prompt


@pytest.mark.parametrize("name", PROMPTS)
def test_the_projects_own_prompts_survive_writing(name: str) -> None:
    calibrated = replace(PROMPTS[name], calibration=RECORD, map=AffineMap(1.25, -0.5))
    assert parse_prompt(dump_prompt(calibrated), name, "memory") == calibrated


def test_a_record_is_plain_yaml_that_a_person_can_read_and_write() -> None:
    written = yaml.safe_load(dump_prompt(replace(PROMPTS["bokeh"], calibration=RECORD)))
    assert written["calibration"]["splits"] == {"optimise": 40, "select": 20, "report": 30}
    assert "map" not in written
    by_hand = yaml.safe_dump(written).replace("'2026-11-21'", "2026-11-21")
    assert parse_prompt(by_hand, "bokeh", "memory").calibration == RECORD


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("map", {"kind": "cubic"}, "map.kind: expected affine or isotonic, got 'cubic'"),
        ("map", [1, 2], "map: expected a mapping of fields, got list"),
        ("map", {"kind": "affine", "slope": 1.0}, "map: missing field intercept"),
        (
            "map",
            {"kind": "affine", "slope": -1.0, "intercept": 0},
            "map.slope: expected a number above 0, got -1",
        ),
        (
            "map",
            {"kind": "affine", "slope": "1", "intercept": 0},
            "map.slope: expected a finite number, got '1'",
        ),
        ("map", {"kind": "isotonic", "scores": [1, 1], "ratings": [0, 5]}, "map.scores: expected rising"),
        (
            "map",
            {"kind": "isotonic", "scores": [1, 2], "ratings": [5, 0]},
            "map.ratings: expected .* never fall",
        ),
        (
            "map",
            {"kind": "isotonic", "scores": [1], "ratings": [5]},
            "map: .*at least two of each, got 1 and 1",
        ),
        ("map", {"kind": "isotonic", "scores": 3, "ratings": [5]}, "map.scores: expected a list of numbers"),
        ("calibration", {"n": 3}, "calibration: missing field after, before, data"),
        ("calibration", {**vars(RECORD), "n": -1}, "calibration.n: expected a number of edits, got -1"),
        ("calibration", {**vars(RECORD), "date": "May"}, "calibration.date: expected a day .*got 'May'"),
        ("calibration", {**vars(RECORD), "splits": {"x": 0.5}}, "calibration.splits.x: expected a number of"),
        ("calibration", {**vars(RECORD), "splits": {1: 2}}, "calibration.splits: expected names, got 1"),
        (
            "calibration",
            {**vars(RECORD), "after": {"plcc": float("nan")}},
            "calibration.after.plcc: .*finite",
        ),
        ("calibration", {**vars(RECORD), "engine": " "}, "calibration.engine: expected text"),
        ("calibration", {**vars(RECORD), "who": "me"}, "calibration: unknown field who"),
    ],
)
def test_a_bad_record_or_map_is_named(field: str, value: object, complaint: str) -> None:
    record = yaml.safe_load(dump_prompt(PROMPTS["bokeh"]))
    with pytest.raises(ValueError, match=f"prompts: bokeh.yaml: {complaint}"):
        parse_prompt(yaml.safe_dump({**record, field: value}), "bokeh", "bokeh.yaml")
