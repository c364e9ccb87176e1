"""The summary's figures against ones worked out by hand and by statistics."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpedit.scoring.report import histogram, summary


def rows_of(text: str) -> dict[str, list[str]]:
    return {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.strip()}


def test_the_table_has_each_task_and_the_mean_of_their_means() -> None:
    tasks = ["bokeh"] * 3 + ["relighting"] * 2
    text = summary("judge", tasks, [1.0, 2.0, 4.0, 5.0, math.nan])
    rows = rows_of(text)
    assert rows["bokeh"] == ["3", f"{7 / 3:.3f}", f"{np.std([1, 2, 4], ddof=1):.3f}", "0"]
    assert rows["relighting"] == ["1", "5.000", "-", "1"]
    assert rows["all"] == ["4", "3.000", f"{np.std([1, 2, 4, 5], ddof=1):.3f}", "1"]
    assert f"the mean of the tasks' means: {(7 / 3 + 5) / 2:.3f}" in text
    assert "object_removal" not in text


def test_nothing_but_failures_has_no_mean() -> None:
    assert rows_of(summary("judge", ["bokeh"], [math.nan]))["bokeh"] == ["0", "-", "-", "1"]


@given(st.lists(st.floats(0, 5), max_size=40))
def test_the_histogram_counts_what_numpy_counts(values: list[float]) -> None:
    counts = [int(line.split()[-1]) for line in histogram(values).splitlines()]
    assert counts == np.histogram(values, bins=10, range=(0, 5))[0].tolist()


def test_the_longest_bar_is_the_largest_bin() -> None:
    bars = [len(re.findall("#", line)) for line in histogram([0.1] * 4 + [5.0] * 2 + [2.6]).splitlines()]
    assert bars[0] == max(bars)
    assert bars[9] == pytest.approx(bars[0] / 2, abs=1)
    assert bars[5] > 0
    assert sum(bar > 0 for bar in bars) == 3
