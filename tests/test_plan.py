import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hpedit.plan import busy_slots, cut, plan_round

GOOD = {
    "prompts_per_round": 8,
    "group_size": 4,
    "window_size": 3,
    "inner_epochs": 2,
    "micro_batch_size": 6,
    "batch_size": 2,
    "world_size": 2,
    "updates": 2,
}


def test_a_round_is_cut_into_equal_parts():
    plan = plan_round(**GOOD)
    assert (plan.case_batches, plan.samples) == (2, 16)
    assert plan.slots == 16 * 3 // 6
    assert plan.accumulate == 4
    assert plan.length == 16


@pytest.mark.parametrize(
    ("change", "flag"),
    [
        ({"prompts_per_round": 6}, r"rollout\.prompts_per_round"),
        ({"micro_batch_size": 5}, "micro_batch_size"),
        ({"updates": 3}, "updates_per_pass"),
    ],
)
def test_what_does_not_divide_is_refused_by_name(change: dict[str, int], flag: str):
    with pytest.raises(ValueError, match=flag):
        plan_round(**{**GOOD, **change})


@given(
    alive=st.lists(st.booleans(), min_size=1, max_size=24),
    shapes=st.integers(1, 3),
    rows=st.integers(1, 7),
    seed=st.integers(0, 99),
)
def test_cut_keeps_every_pair_once_and_mixes_no_shapes(alive: list[bool], shapes: int, rows: int, seed: int):
    pairs = [(n, s) for n, a in enumerate(alive) if a for s in range(2)]
    shape = [n % shapes for n in range(len(alive))]
    batches = cut(pairs, shape, rows, torch.Generator().manual_seed(seed))
    assert sorted(p for b in batches for p in b) == pairs
    assert all(0 < len(b) <= rows and len({shape[n] for n, _ in b}) == 1 for b in batches)


def test_cut_depends_on_its_generator_only():
    pairs = [(n, 0) for n in range(20)]

    def one(seed: int) -> list[list[tuple[int, int]]]:
        return cut(pairs, [0] * 20, 4, torch.Generator().manual_seed(seed))

    assert one(1) == one(1) != one(2)


@given(updates=st.integers(1, 6), per_update=st.integers(1, 8), data=st.data())
def test_busy_slots_are_even_over_updates_and_last_within_each(
    updates: int, per_update: int, data: st.DataObject
):
    slots = updates * per_update
    busy = data.draw(st.integers(0, slots))
    plan = busy_slots(busy, slots, updates)
    windows = [plan[i : i + per_update] for i in range(0, slots, per_update)]
    assert len(plan) == slots
    assert sum(plan) == busy
    assert max(map(sum, windows)) - min(map(sum, windows)) <= 1
    assert all(w == sorted(w) for w in windows)
