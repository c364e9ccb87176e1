"""Group-relative advantages against numpy, one group at a time, and the invariances they must have."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hpedit.advantage import AdvantageNorm, group_advantage

NORMS: tuple[AdvantageNorm, ...] = ("group", "batch", "none")
NAN = math.nan


def by_hand(reward: list[float], group: list[int], norm: str, clip: float, min_std: float) -> np.ndarray:
    rewards = np.array(reward, dtype=np.float64)
    out = np.zeros(len(reward))
    for g in set(group):
        siblings = [i for i, other in enumerate(group) if other == g and not math.isnan(reward[i])]
        if len(siblings) < 2 or np.ptp(rewards[siblings]) == 0 or np.std(rewards[siblings]) <= min_std:
            continue
        std = {"group": np.std(rewards[siblings]), "batch": np.nanstd(rewards), "none": 1 - 1e-4}[norm]
        for i in siblings:
            out[i] = np.clip((rewards[i] - np.mean(rewards[siblings])) / (std + 1e-4), -clip, clip)
    return out


@st.composite
def rounds(draw: st.DrawFn) -> tuple[list[float], list[int]]:
    size = draw(st.integers(1, 24))
    # Multiples of 1/64, so that ties are exact and frequent.
    rewards = st.one_of(st.just(NAN), st.integers(0, 64).map(lambda k: k / 64))
    return (
        draw(st.lists(rewards, min_size=size, max_size=size)),
        draw(st.lists(st.integers(-2, 5), min_size=size, max_size=size)),
    )


@settings(max_examples=150, deadline=None)
@given(data=rounds(), norm=st.sampled_from(NORMS), clip=st.sampled_from([0.5, 5.0]))
@pytest.mark.parametrize("min_std", [0.0, 0.1])
def test_advantages_are_those_worked_out_by_hand(
    data: tuple[list[float], list[int]], norm: AdvantageNorm, clip: float, min_std: float
) -> None:
    reward, group = data
    result = group_advantage(torch.tensor(reward), torch.tensor(group), norm=norm, clip=clip, min_std=min_std)
    wanted = by_hand(reward, group, norm, clip, min_std)
    np.testing.assert_allclose(result.advantage.numpy(), wanted, rtol=2e-4, atol=2e-5)
    assert (result.advantage[~result.alive] == 0).all()
    assert not result.alive[torch.tensor(reward).isnan()].any()


@pytest.fixture
def reward() -> Tensor:
    """Five groups: spread, with a failure, without spread, lone, all failed."""
    return torch.tensor([0.1, 0.5, 0.9, 0.2, NAN, 0.8, 0.3, 0.3, 0.3, 0.7, NAN, NAN])


@pytest.fixture
def group() -> Tensor:
    return torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 4])


def test_only_scored_samples_with_a_differing_sibling_are_alive(reward: Tensor, group: Tensor) -> None:
    result = group_advantage(reward, group)
    assert result.alive.tolist() == [True, True, True, True, False, True] + 6 * [False]
    assert result.advantage.isfinite().all()


def test_stats_count_what_was_lost(reward: Tensor, group: Tensor) -> None:
    stats = group_advantage(reward, group).stats
    valid = reward[~reward.isnan()].double().numpy()
    assert stats == pytest.approx(
        {
            "zero_spread_share": 1 / 5,
            "failed_share": 3 / 12,
            "lone_share": 1 / 12,
            "reward_mean": valid.mean(),
            "reward_std": valid.std(),
            "group_std_mean": (np.std([0.1, 0.5, 0.9]) + np.std([0.2, 0.8]) + 0) / 3,
        }
    )


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("value", [0.3, 0.1, 1 / 3, 0.999999])
@pytest.mark.parametrize("size", [2, 3, 7, 12, 16])
def test_equal_rewards_are_no_spread_however_they_round(norm: AdvantageNorm, value: float, size: int) -> None:
    reward = torch.full((2 * size,), value)
    reward[0] += 0.1
    group = torch.arange(2).repeat_interleave(size)
    result = group_advantage(reward, group, norm=norm)
    assert result.alive.tolist() == [True] * size + [False] * size
    assert (result.advantage[size:] == 0).all()


@pytest.mark.parametrize("norm", NORMS)
def test_advantages_of_a_group_sum_to_zero(norm: AdvantageNorm) -> None:
    g = torch.Generator().manual_seed(0)
    group = torch.randint(0, 6, (60,), generator=g)
    result = group_advantage(torch.rand(60, generator=g), group, norm=norm, clip=None)
    for case in range(6):
        assert result.advantage[group == case].sum().item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("norm", NORMS)
def test_the_order_of_samples_and_the_names_of_groups_do_not_matter(norm: AdvantageNorm) -> None:
    g = torch.Generator().manual_seed(1)
    reward, group = torch.rand(20, generator=g), torch.arange(4).repeat(5)
    order = torch.randperm(20, generator=g)
    plain = group_advantage(reward, group, norm=norm)
    shuffled = group_advantage(reward[order], 1000 - 7 * group[order], norm=norm)
    torch.testing.assert_close(shuffled.advantage, plain.advantage[order], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("norm", NORMS)
def test_a_failed_sample_leaves_its_siblings_as_if_it_had_not_been(norm: AdvantageNorm) -> None:
    reward, group = torch.tensor([0.1, 0.9, 0.4, 0.6]), torch.tensor([0, 0, 1, 1])
    failed = torch.tensor([0.1, NAN, 0.9, 0.4, 0.6, NAN])
    result = group_advantage(failed, torch.tensor([0, 0, 0, 1, 1, 1]), norm=norm)
    kept = ~failed.isnan()
    assert torch.equal(result.advantage[kept], group_advantage(reward, group, norm=norm).advantage)


def test_group_norm_blows_small_spread_up_and_batch_norm_does_not() -> None:
    reward = torch.tensor([0.0, 1.0, 0.500, 0.501])
    group = torch.tensor([0, 0, 1, 1])
    assert group_advantage(reward, group, norm="group").advantage[3] > 0.8
    assert group_advantage(reward, group, norm="batch").advantage[3] < 0.01


def test_min_std_is_a_bound_that_spread_must_exceed() -> None:
    reward, group = torch.tensor([0.0, 0.5]), torch.tensor([0, 0])
    assert group_advantage(reward, group, min_std=0.24).alive.all()
    assert not group_advantage(reward, group, min_std=0.25).alive.any()
    assert group_advantage(reward, group, min_std=0.25).stats["zero_spread_share"] == 1


def test_clip_bounds_both_sides_and_none_does_not() -> None:
    reward = torch.tensor([1.0] + 99 * [0.0])
    group = torch.zeros(100, dtype=torch.int64)
    assert group_advantage(reward, group, norm="group", clip=None).advantage[0] > 9
    assert group_advantage(reward, group, norm="group", clip=5.0).advantage[0] == 5
    assert group_advantage(-reward, group, norm="group", clip=5.0).advantage[0] == -5


def test_a_round_without_any_score_trains_nothing() -> None:
    result = group_advantage(torch.full((4,), NAN), torch.tensor([0, 0, 1, 1]))
    assert torch.equal(result.advantage, torch.zeros(4))
    assert not result.alive.any()
    assert result.stats["failed_share"] == 1
    assert math.isnan(result.stats["reward_mean"])


@pytest.mark.parametrize(
    ("reward", "group", "settings_", "named"),
    [
        ([0.1, math.inf], [0, 0], {}, "sample 1"),
        ([], [], {}, "N > 0"),
        ([0.1, 0.2], [0], {}, r"\(2,\) and \(1,\)"),
        ([0.1, 0.2], [0, 0], {"clip": 0.0}, "clip"),
        ([0.1, 0.2], [0, 0], {"min_std": -0.1}, "min_std"),
        ([0.1, 0.2], [0, 0], {"norm": "rank"}, "rank"),
    ],
)
def test_what_cannot_be_normalised_is_named(
    reward: list[float], group: list[int], settings_: dict, named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        group_advantage(torch.tensor(reward), torch.tensor(group, dtype=torch.int64), **settings_)
