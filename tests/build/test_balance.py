"""What a user may rely on in a balanced selection."""

from __future__ import annotations

import io
import json
import random
import time
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from hpedit.build.balance import REALPREF_50K, Balance
from hpedit.build.balance_report import balance_tables
from hpedit.build.chunks import ParquetRecords, write_table_durably
from hpedit.build.kinds import CASES
from hpedit.build.levelling import evenness
from hpedit.cases import Case
from hpedit.pictures import Picture
from hpedit.tasks import TASKS

Row = tuple[str, list[str]]
KINDS = ("person", "car", "dog", "cake", "kite")


def table(rows: list[Row], ids: list[str] | None = None) -> pa.Table:
    names = ids or [f"photo-{i}" for i in range(len(rows))]
    tasks, categories = [task for task, _ in rows], [names for _, names in rows]
    return pa.table(
        {
            "case_id": pa.array(names, pa.string()),
            "task": pa.array(tasks, pa.string()),
            "categories": pa.array(categories, pa.list_(pa.string())),
        }
    )


def skewed(count: int, seed: int = 0) -> list[Row]:
    """Return cases whose tasks are even and whose categories are as 1, 1/2, 1/3 ..."""
    dice = random.Random(seed)
    names = [f"c{i:02d}" for i in range(80)]
    weights = [1 / (i + 1) for i in range(80)]
    return [(dice.choice(TASKS), dice.choices(names, weights, k=2)) for _ in range(count)]


rows = st.lists(
    st.tuples(st.sampled_from(TASKS), st.lists(st.sampled_from(KINDS), max_size=2)), min_size=1, max_size=80
)
shares = st.dictionaries(st.sampled_from(TASKS), st.floats(0.1, 10), min_size=1)


@settings(max_examples=60, deadline=None)
@given(rows=rows, shares=shares, size=st.none() | st.integers(1, 120))
def test_never_more_than_asked_no_case_twice_and_short_only_where_supply_ends(
    rows: list[Row], shares: dict[str, float], size: int | None
):
    kept = Balance(shares=shares, size=size).keep(table(rows))
    there, had = Counter(t for t, _ in rows), Counter(rows[r][0] for r in kept.rows)
    asked, whole = size or len(rows), sum(shares.values())
    assert len(set(kept.rows)) == len(kept.rows) <= asked
    assert not set(had) - set(shares)
    for task, share in shares.items():
        exact = asked * share / whole
        assert had[task] < exact + 1
        assert had[task] > exact - 1 or had[task] == there[task]


@settings(max_examples=40, deadline=None)
@given(rows=rows, size=st.integers(1, 80), dice=st.randoms())
def test_the_order_in_which_cases_come_changes_nothing(rows: list[Row], size: int, dice: random.Random):
    ids = [f"photo-{i}" for i in range(len(rows))]
    order = dice.sample(range(len(rows)), len(rows))
    settled = Balance(size=size)
    first = settled.keep(table(rows, ids))
    second = settled.keep(table([rows[i] for i in order], [ids[i] for i in order]))
    assert {ids[r] for r in first.rows} == {ids[order[r]] for r in second.rows}
    assert first.notes == second.notes


@settings(max_examples=60, deadline=None)
@given(names=st.lists(st.sampled_from(KINDS), min_size=1, max_size=60), size=st.integers(1, 60))
def test_of_one_task_categories_come_out_at_least_as_even_as_they_were(names: list[str], size: int):
    kept = Balance({"bokeh": 1}, size=size).keep(table([("bokeh", [name]) for name in names]))
    before, after = Counter(names), Counter(names[r] for r in kept.rows)
    # Whole numbers: a category may be one ahead of another that still has some. Beyond that nothing is uneven.
    lowest = min((after[n] for n in before if after[n] < before[n]), default=None)
    assert lowest is None or max(after.values()) <= lowest + 1
    if lowest is not None and max(after.values()) == lowest:
        assert evenness([after[n] for n in before]) >= evenness(list(before.values())) - 1e-9


def test_skewed_categories_come_out_near_uniform_with_the_papers_shares():
    cases = skewed(20_000)
    kept = Balance(size=2000).keep(table(cases))
    report = kept.notes
    assert (report["asked"], report["kept"], report["short"]) == (2000, 2000, {})
    assert report["evenness"]["there"] < 0.82
    assert report["evenness"]["kept"] > 0.999
    total = sum(REALPREF_50K.values())
    for task, count in Counter(cases[r][0] for r in kept.rows).items():
        assert abs(count - 2000 * REALPREF_50K[task] / total) < 1


def test_the_shares_of_the_paper_are_its_counts():
    assert sum(REALPREF_50K.values()) == 55_795
    assert set(REALPREF_50K) == set(TASKS)


def test_another_seed_is_another_selection():
    cases = table(skewed(2000))
    first, second = (Balance(size=400, seed=s).keep(cases) for s in (0, 1))
    assert set(first.rows) != set(second.rows)
    assert first.notes["tasks"] == second.notes["tasks"]


def test_a_short_task_is_named_with_what_it_lacks_and_the_others_get_no_more():
    cases: list[Row] = [("bokeh", ["dog"])] * 3 + [("relighting", ["dog"])] * 50
    kept = Balance({"bokeh": 1, "relighting": 3}, size=40).keep(table(cases))
    assert kept.notes["short"] == {"bokeh": 7}
    assert Counter(cases[r][0] for r in kept.rows) == {"bokeh": 3, "relighting": 30}
    assert kept.notes["size_that_meets_all_shares"] == 12
    met = Balance({"bokeh": 1, "relighting": 3}, size=12).keep(table(cases))
    assert (met.notes["short"], met.notes["kept"]) == ({}, 12)


def test_the_report_is_json_and_a_table_that_says_what_is_short():
    cases: list[Row] = [("bokeh", ["dog"])] * 3 + [("relighting", ["cat"])] * 50 + [("color_change", [])] * 9
    notes = Balance({"bokeh": 1, "relighting": 3}, size=40).keep(table(cases)).notes
    assert json.loads(json.dumps(notes)) == notes
    assert notes["tasks"]["color_change"] == {
        **{"there": 9, "asked": 0, "kept": 0},
        **{"share_asked": 0.0, "share_kept": 0.0},
    }
    assert notes["categories"]["(none)"] == {"there": 9, "kept": 0}
    out = io.StringIO()
    for part in balance_tables(notes):
        Console(file=out, width=120).print(part)
    [line] = [line for line in out.getvalue().splitlines() if "bokeh" in line]
    assert [cell.strip() for cell in line.split("│")[1:-1]] == [
        *("bokeh", "3", "10", "3", "25.00%", "9.09%", "7"),
    ]
    assert "all shares can be met with size 12" in out.getvalue()


def test_cases_as_they_lie_on_disk_can_be_balanced(tmp_path: Path):
    picture = Picture(b"bytes that nobody decodes here")
    cases = [
        Case(f"case-{i}", TASKS[i % 2], "Do it.", picture, categories=("dog",) if i < 30 else ("cat", "dog"))
        for i in range(40)
    ]
    file = tmp_path / "cases.parquet"
    write_table_durably(file, CASES.table(cases))
    stage = Balance({TASKS[0]: 1, TASKS[1]: 1}, size=20)
    light = ParquetRecords(CASES, (file,)).light(stage.columns)
    assert stage.keep(light).notes["categories"] == {
        "cat": {"there": 10, "kept": 10},
        "dog": {"there": 30, "kept": 10},
    }


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"shares": {"blur": 1}}, "balance.shares: expected tasks of .* got 'blur'"),
        ({"shares": {"bokeh": -1}}, "balance.shares: expected weights >= 0"),
        ({"shares": {"bokeh": float("nan")}}, "balance.shares: expected weights >= 0"),
        ({"shares": {}}, "balance.shares: expected weights >= 0, not all 0"),
        ({"size": 0}, "balance.size: expected at least 1 case, or null, got 0"),
    ],
)
def test_impossible_settings_are_named(wrong: dict, words: str):
    with pytest.raises(ValueError, match=words):
        Balance(**wrong)


def test_as_many_cases_as_the_paper_has_take_seconds():
    cases = table(skewed(55_795))
    began = time.process_time()
    Balance(size=14_000).keep(cases)
    assert time.process_time() - began < 20
