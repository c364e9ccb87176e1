"""Field maps: the shipped ones are read, and a user's mistakes are named."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpedit.build.field_maps import FIELDS, Scale, cell, load_field_map

SHIPPED = sorted(f.stem for f in FIELDS.glob("*.yaml") if f.stem != "hpedit")  # its cases say their own


def test_the_public_data_sets_are_there():
    assert {"ultraedit", "omniedit", "imgedit", "magicbrush", "humanedit", "editreward"} <= set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_map_says_licence_and_columns(name: str):
    fields = load_field_map(name)
    assert all((fields.dataset, fields.license, fields.source, fields.instruction, fields.target))


@given(st.floats(0, 10), st.floats(0, 10))
def test_a_score_keeps_its_order_and_stays_on_the_scale(a: float, b: float):
    scale = Scale("x", 2, 8)
    first, second = scale.rating("s", a).value, scale.rating("s", b).value
    assert 0 <= first <= 5
    assert (first <= second) or a > b


def test_the_ends_and_the_middle_of_a_scale():
    assert [Scale("x", 2, 8).rating("s", v).value for v in (2, 5, 8)] == [0, 2.5, 5]


@pytest.mark.parametrize(
    ("task", "wanted"),
    [("Add", ("object_addition", True)), ("Counting", (None, False)), ("Relight", ("relighting", True))],
)
def test_a_task_is_mapped_known_or_none_of_ours(task: str, wanted: tuple):
    assert load_field_map("humanedit").task_of({"EDITING_TYPE": task}) == wanted


def test_a_task_that_nobody_has_named_is_a_fault():
    with pytest.raises(ValueError, match=r"unknown task 'Sing' in HumanEdit: name it under `tasks`"):
        load_field_map("humanedit").task_of({"EDITING_TYPE": "Sing"})


def test_a_row_that_names_no_task_leaves_it_open():
    assert load_field_map("humanedit").task_of({"EDITING_TYPE": None}) == (None, True)


# As the data sets' own cards say.
@pytest.mark.parametrize(
    ("name", "license"),
    [
        ("ultraedit", "CC-BY-4.0"),
        ("omniedit", "MIT"),
        ("magicbrush", "CC-BY-4.0"),
        ("humanedit", "CC-BY-4.0"),
        ("editreward", "CC-BY-NC-4.0"),
    ],
)
def test_a_licence_is_that_of_the_card(name: str, license: str):
    assert load_field_map(name).license == license


def test_a_data_set_without_tasks_says_nothing_of_them():
    assert load_field_map("magicbrush").task_of({}) == (None, True)


def test_a_path_goes_into_records_and_takes_the_first_of_lists():
    row = {"turns": [{"picture": {"bytes": b"x"}}, {"picture": None}], "none": []}
    assert cell(row, "turns.picture.bytes") == b"x"
    assert cell(row, "none") is None
    assert cell(row, "turns.missing.deep") is None


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("dataset: a\nsource: b\ntasks: {x: fly}\n", "got 'fly'"),
        ("dataset: a\nsource: b\nsorce: c\n", "sorce"),
        ("dataset: a\n", "source"),
        ("- a\n", "must be a mapping"),
        ("dataset: a\nsource: b\nscores: {s: {column: c, low: 5, high: 5}}\n", "expected low < high"),
        ("dataset: a\nsource: b\ntask: c\nevery_task: bokeh\n", "got both"),
    ],
)
def test_a_mistake_in_a_map_is_named_with_its_file(tmp_path: Path, text: str, wanted: str):
    (tmp_path / "m.yaml").write_text(text)
    with pytest.raises(ValueError, match=rf"fields: .*m\.yaml: .*({wanted})"):
        load_field_map(str(tmp_path / "m.yaml"))


def test_an_unknown_name_lists_what_there_is():
    with pytest.raises(ValueError, match=r"one of editreward, .*ultraedit, got 'ultra'"):
        load_field_map("ultra")
