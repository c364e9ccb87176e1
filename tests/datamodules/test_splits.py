"""Which cases are trained on: no picture on both sides, tasks in the wanted shares, solved cases left out."""

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules.splits import candidate_scores, case_score, draw_rates, hold_out, kept_share
from tests.support.cases import grey_case, scored

cases = st.lists(
    st.tuples(st.sampled_from(["bokeh", "relighting", "removal"]), st.integers(0, 30)),
    min_size=8,
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(cases, st.integers(1, 6), st.integers(0, 3))
def test_a_held_out_picture_is_not_trained_on(facts, count, seed):
    tasks, pictures = zip(*facts, strict=True)
    try:
        train, held = hold_out(tasks, pictures, count, seed)
    except ValueError:
        # A few pictures hold nearly all cases.
        assert len(set(pictures)) <= count
        return
    assert len(held) == len(set(held)) == count
    assert train
    assert not {pictures[i] for i in train} & {pictures[i] for i in held}
    assert (train, held) == hold_out(tasks, pictures, count, seed)


def test_held_out_tasks_are_even_however_uneven_the_data():
    tasks = ["bokeh"] * 80 + ["relighting"] * 12 + ["removal"] * 8
    _, held = hold_out(tasks, range(100), 9, 0)
    assert Counter(tasks[i] for i in held) == {"bokeh": 3, "relighting": 3, "removal": 3}


def test_another_seed_holds_out_others():
    tasks = ["bokeh"] * 50
    assert hold_out(tasks, range(50), 5, 0)[1] != hold_out(tasks, range(50), 5, 1)[1]


def test_more_held_out_than_there_is_names_the_flag():
    with pytest.raises(ValueError, match=r"--data\.val_cases 4: 4 cases of 4 pictures leave nothing"):
        hold_out(["bokeh"] * 4, range(4), 4, 0)
    with pytest.raises(ValueError, match="4 cases of 1 pictures"):
        hold_out(["bokeh"] * 4, [1, 1, 1, 1], 2, 0)


def test_the_score_of_a_case_is_over_the_scores_that_were_had():
    case = grey_case(0, **scored(2.0, 4.0, None, math.nan))
    assert candidate_scores(case) == {"k0": 2.0, "k1": 4.0}
    assert case_score(case, "mean") == 3.0
    assert case_score(case, "best") == 4.0
    assert case_score(grey_case(0), "mean") is None


def test_the_kept_share_is_by_task():
    assert kept_share(["b", "a", "b"], [True, False, False]) == {"a": (0, 1), "b": (1, 2)}


def drawn(tasks, weights):
    share = Counter()
    for task, weight in zip(tasks, weights, strict=True):
        share[task] += weight
    return {task: share[task] / len(tasks) for task in share}


def test_balance_gives_tasks_their_shares():
    tasks = ["bokeh"] * 9 + ["relighting"] * 3
    assert draw_rates(tasks, [1.0] * 12, False) is None
    assert drawn(tasks, draw_rates(tasks, [1.0] * 12, True)) == pytest.approx(
        {"bokeh": 0.5, "relighting": 0.5}
    )
    asked = {"bokeh": 1, "relight": 3, "removal": 10}
    assert drawn(tasks, draw_rates(tasks, [1.0] * 12, asked)) == pytest.approx(
        {"bokeh": 0.25, "relighting": 0.75}
    )


@pytest.mark.parametrize(
    ("balance", "words"),
    [
        ({"bokeh": 1, "fly": 1}, "--data.task_balance: unknown task 'fly'"),
        ({"removal": 1}, "--data.task_balance: expected a share >= 0 for 'bokeh', got None"),
        ({"bokeh": -1}, "got -1"),
        ({"bokeh": 0}, "no share at all"),
    ],
)
def test_a_wrong_balance_names_the_flag(balance, words):
    with pytest.raises(ValueError, match=words):
        draw_rates(["bokeh"], [1.0], balance)


weights_of = st.lists(
    st.tuples(st.sampled_from(["bokeh", "relighting"]), st.sampled_from([0.0, 0.5, 1.0, 4.0])),
    min_size=1,
    max_size=20,
).filter(lambda rows: any(weight for _, weight in rows))


@given(weights_of, st.booleans())
def test_inside_a_task_cases_are_drawn_in_proportion_to_their_weights(rows, balance):
    tasks, weights = [t for t, _ in rows], [w for _, w in rows]
    rates = draw_rates(tasks, weights, balance)
    if rates is None:
        assert len(set(weights)) == 1
        return
    assert sum(rates) == pytest.approx(len(rows))
    alive = {t for t, w in rows if w}
    for task in alive:
        mine = [(r, w) for r, (t, w) in zip(rates, rows, strict=True) if t == task]
        whole = sum(w for _, w in mine)
        share = len(rows) / len(alive) if balance else len(rows) * whole / sum(weights)
        assert [r for r, _ in mine] == pytest.approx([share * w / whole for _, w in mine])


def test_weights_that_draw_nothing_are_refused():
    with pytest.raises(ValueError, match=r"--data\.weighted: every case .* weight 0"):
        draw_rates(["bokeh"], [0.0], True)
