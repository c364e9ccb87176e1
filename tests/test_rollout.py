"""The loader of a round, without network and Trainer: what is sampled, shown to the hooks, and trained on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from hpedit.advantage import GroupAdvantage, group_advantage
from hpedit.plan import RoundPlan, plan_round
from hpedit.rollout import RolloutCallback, RolloutLoader, RolloutSettings
from hpedit.types import EditBatch, EditedBatch, Idle, Rollout, Transition
from hpedit.window import SDEWindow
from tests.support.goal_editor import GoalEditor, grey_batch

SETTINGS = RolloutSettings(
    group_size=3, prompts_per_round=4, num_steps=4, window=SDEWindow(size=2), chunk_size=4
)


class Hook(RolloutCallback):
    """Notes what it is told, and rewards by a rule: case id and place in the rollout to a number or NaN."""

    def __init__(self, rule: Any = lambda case, n: float(n % 3)) -> None:
        self.rule = rule
        self.told: list[tuple[str, int]] = []
        self.chunks: list[EditedBatch] = []
        self.rollout: Rollout | None = None

    def on_rollout_start(self, trainer: Any, pl_module: Any, num_samples: int) -> None:
        self.told.append(("start", num_samples))

    def on_rollout_chunk(self, trainer: Any, pl_module: Any, chunk: EditedBatch, start: int) -> None:
        self.told.append(("chunk", start))
        self.chunks.append(chunk)

    def on_rollout_end(self, trainer: Any, pl_module: Any, rollout: Rollout) -> None:
        self.told.append(("end", len(rollout.case_id)))
        self.rollout = rollout
        rollout.reward.copy_(torch.tensor([self.rule(case, n) for n, case in enumerate(rollout.case_id)]))


@dataclass
class Stream:
    """Batches by position, two cases each; ``period`` of them, again and again."""

    rank: int = 0
    world: int = 1
    sizes: tuple[tuple[int, int], ...] = ((4, 4),)
    period: int = 1000
    position: int = 0

    @property
    def batch_sampler(self) -> Stream:
        return self

    def seek(self, position: int) -> None:
        self.position = position

    def __iter__(self) -> Iterator[EditBatch]:
        while True:
            number = (self.position * self.world + self.rank) % self.period
            self.position += 1
            yield grey_batch(0.02 * number, 0.02 * number + 0.01, size=self.sizes[number % len(self.sizes)])


@dataclass
class Owner:
    """A module as the loader sees it. ``busiest`` and ``elsewhere``, by rank, are what other ranks would answer."""

    rollout: RolloutSettings = SETTINGS
    hook: Hook = field(default_factory=Hook)
    editor: GoalEditor = field(default_factory=GoalEditor)
    seed: int = 0
    current_epoch: int = 0
    global_rank: int = 0
    world: int = 1
    busiest: int = 0
    elsewhere: dict[int, Tensor] = field(default_factory=dict)
    keeps_means: bool = False
    round_metrics: dict[str, float] = field(default_factory=dict)
    device: torch.device = torch.device("cpu")

    @property
    def trainer(self) -> Any:
        plugin = SimpleNamespace(forward_context=nullcontext)
        return SimpleNamespace(
            callbacks=[self.hook], precision_plugin=plugin, lightning_module=self, world_size=self.world
        )

    def advantages(self, rollout: Rollout) -> GroupAdvantage:
        return group_advantage(rollout.reward, rollout.group, norm="none", clip=None)

    def gather(self, values: Tensor) -> Tensor:
        self.elsewhere[self.global_rank] = values
        nothing_alike = -1 - torch.arange(len(values))
        return torch.cat([self.elsewhere.get(rank, nothing_alike) for rank in range(self.world)])

    def most_over_ranks(self, value: int) -> int:
        return max(value, self.busiest)

    def plan(self, updates: int = 2, inner_epochs: int = 1) -> RoundPlan:
        return plan_round(
            prompts_per_round=self.rollout.prompts_per_round,
            group_size=self.rollout.group_size,
            window_size=self.rollout.window_size,
            inner_epochs=inner_epochs,
            micro_batch_size=3,
            batch_size=2,
            world_size=self.world,
            updates=updates,
        )


def play(
    owner: Owner, sizes: tuple[tuple[int, int], ...] = ((4, 4),), period: int = 1000, **plan: int
) -> list[Transition | Idle]:
    stream = Stream(owner.global_rank, owner.world, sizes, period)
    loader = RolloutLoader(owner, stream, owner.plan(**plan))  # type: ignore[arg-type]
    batches = list(loader)
    assert len(batches) == len(loader)
    return batches


def transitions(batches: list[Transition | Idle]) -> list[Transition]:
    return [batch for batch in batches if isinstance(batch, Transition)]


def rows(batches: list[Transition | Idle], name: str) -> Tensor:
    return torch.cat([getattr(batch, name) for batch in transitions(batches)])


# ---- the hooks ----------------------------------------------------------------------------------------------------


def test_hooks_hear_of_the_start_of_every_chunk_in_order_and_of_the_end():
    owner = Owner()
    play(owner)
    # Chunks of at most 4 of a batch's 6 samples: they do not reach over the end of a batch.
    chunks = [("chunk", 0), ("chunk", 4), ("chunk", 6), ("chunk", 10)]
    assert owner.hook.told == [("start", 12), *chunks, ("end", 12)]


def test_the_pictures_of_a_chunk_are_edits_of_the_cases_it_names():
    owner = Owner()
    play(owner)
    shown = [
        (c.cases.case_id[row], c.images[i]) for c in owner.hook.chunks for i, row in enumerate(c.case_row)
    ]
    assert owner.hook.rollout is not None
    assert [case for case, _ in shown] == owner.hook.rollout.case_id
    for case, image in shown:
        assert float(image.mean()) == pytest.approx(float(case.removeprefix("grey")), abs=0.5)


def test_scores_and_rewards_are_missing_until_somebody_fills_them():
    class Silent(Hook):
        def on_rollout_end(self, trainer: Any, pl_module: Any, rollout: Rollout) -> None:
            assert rollout.score.isnan().all()
            assert rollout.reward.isnan().all()
            super().on_rollout_end(trainer, pl_module, rollout)

    play(Owner(hook=Silent()))


@pytest.mark.parametrize("rank", [0, 1])
def test_siblings_share_a_group_that_no_other_rank_uses(rank: int):
    owner = Owner(global_rank=rank, world=2)
    play(owner)
    assert owner.hook.rollout is not None
    assert owner.hook.rollout.group.tolist() == [2 * rank] * 3 + [2 * rank + 1] * 3


# ---- sampling -----------------------------------------------------------------------------------------------------


def test_every_case_is_encoded_once_a_round():
    owner = Owner()
    play(owner, inner_epochs=2)
    assert owner.editor.encoded == ["grey0", "grey0.01", "grey0.02", "grey0.03"]


@pytest.mark.parametrize("offload", [True, False])
def test_encoders_leave_the_device_after_encoding_where_asked_to(offload: bool):
    owner = Owner(rollout=replace(SETTINGS, offload_encoders=offload))
    play(owner)
    away = [("cpu", True, False)] if offload else []
    assert owner.editor.placed == [("cpu", True, True), *away]


def test_guidance_decides_whether_the_negative_prompt_is_encoded():
    owner = Owner(rollout=replace(SETTINGS, true_cfg=4.0))
    play(owner)
    assert set(owner.editor.negatives) == {True}
    assert {guidance.true_cfg for _, guidance in owner.editor.asked} == {4.0}


def test_rounds_take_the_stream_s_batches_one_after_the_other():
    owner = Owner(current_epoch=1)
    play(owner)
    assert owner.editor.encoded == ["grey0.04", "grey0.05", "grey0.06", "grey0.07"]


def test_a_round_played_again_is_the_same_to_the_last_bit():
    first, again = play(Owner(current_epoch=3)), play(Owner(current_epoch=3))
    for name in ("x_t", "x_next", "log_prob_old", "advantage", "t"):
        assert torch.equal(rows(first, name), rows(again, name))


def test_what_a_sample_is_does_not_depend_on_chunks_or_ranks():
    """Rows of one process, of another chunk size and of two ranks, each sorted."""
    together = rows(play(Owner()), "x_next")
    chunked = rows(play(Owner(rollout=replace(SETTINGS, chunk_size=5))), "x_next")
    ranks = [rows(play(Owner(global_rank=r, world=2)), "x_next") for r in range(2)]
    assert torch.equal(_sorted(together), _sorted(chunked))
    assert torch.equal(_sorted(together), _sorted(torch.cat(ranks)))


def test_noise_differs_by_round_and_by_seed():
    owners = (Owner(), Owner(current_epoch=1), Owner(seed=1))
    played = [play(owner, period=2) for owner in owners]
    assert {owner.editor.encoded[0] for owner in owners} == {"grey0"}
    first, other_round, other_seed = (_sorted(rows(batches, "x_t")) for batches in played)
    assert not torch.equal(first, other_round)
    assert not torch.equal(first, other_seed)


@pytest.mark.parametrize("shared_noise", [False, True])
def test_a_case_that_comes_twice_in_a_round_is_sampled_anew_as_a_group_of_its_own(shared_noise: bool):
    """A stream of one batch, two a round: every case comes twice."""
    settings = replace(SETTINGS, shared_noise=shared_noise)
    once = Owner(rollout=replace(settings, prompts_per_round=2))
    first, both = rows(play(once, period=1), "x_next"), Owner(rollout=settings)
    twice = rows(play(both, period=1), "x_next")
    assert both.hook.rollout is not None
    assert both.hook.rollout.case_id == (["grey0"] * 3 + ["grey0.01"] * 3) * 2
    assert both.hook.rollout.group.tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    assert len(_sorted(twice)) == 2 * len(_sorted(first)) == 24
    assert {row.tobytes() for row in first.numpy()} < {row.tobytes() for row in twice.numpy()}


def test_so_is_one_that_comes_again_on_another_rank_as_it_would_be_in_one_process():
    """Whose copy is the first follows from the stream, not from the rank."""
    elsewhere: dict[int, Tensor] = {}
    for _ in range(2):  # at first nobody knows of the others' cases
        owners = [Owner(global_rank=rank, world=2, elsewhere=elsewhere) for rank in range(2)]
        halves = [rows(play(owner, period=1), "x_next") for owner in owners]
    together = rows(play(Owner(), period=1), "x_next")
    assert torch.equal(_sorted(torch.cat(halves)), _sorted(together))
    assert len(_sorted(together)) == 24


# ---- transitions --------------------------------------------------------------------------------------------------


def test_every_stochastic_step_of_every_sample_is_trained_on_once():
    batches = play(Owner())
    assert rows(batches, "x_t").shape == (24, 3, 2)
    assert len(rows(batches, "x_t").flatten(1).unique(dim=0)) == 24
    assert set(rows(batches, "weight").tolist()) == {1.0}
    assert len(set(rows(batches, "t").tolist())) == 2


def test_rows_carry_their_sample_s_advantage_and_condition():
    batches = play(Owner(hook=Hook(lambda case, n: float(case == "grey0") * (n + 1))))
    assert sorted(rows(batches, "advantage").tolist()) == [-1.0, -1.0, 0.0, 0.0, 1.0, 1.0]
    for batch in transitions(batches):
        assert batch.cond.x_0.abs().max() == 0  # type: ignore[attr-defined]


def test_means_are_kept_only_where_they_are_needed():
    assert all(batch.mean_old is None for batch in transitions(play(Owner())))
    assert all(batch.mean_old is not None for batch in transitions(play(Owner(keeps_means=True))))


def test_dead_groups_leave_idle_micro_batches_behind():
    """One live group of four: 6 rows, two micro-batches of three, one in each update."""
    batches = play(Owner(hook=Hook(lambda case, n: float(n) if case == "grey0.02" else 0.5)))
    assert [isinstance(batch, Idle) for batch in batches] == [True, True, True, False] * 2


def test_a_round_of_dead_groups_is_idle_throughout():
    owner = Owner(hook=Hook(lambda case, n: 0.5), world=2)
    assert all(isinstance(batch, Idle) for batch in play(owner))


@pytest.mark.parametrize("busiest", [0, 1, 2, 4])
def test_ranks_stay_in_step_whatever_they_have_to_learn(busiest: int):
    """A rank with nothing to learn is busy exactly where the busiest rank is, with one row that counts for nothing."""
    idle = play(Owner(hook=Hook(lambda case, n: 0.5), world=2, busiest=busiest))
    assert sum(isinstance(batch, Transition) for batch in idle) == busiest
    assert [len(batch) for batch in transitions(idle)] == [1] * busiest
    assert not any(batch.weight.any() for batch in transitions(idle))
    if busiest == 4:
        busy = play(Owner(world=2, busiest=busiest))
        assert [isinstance(a, Idle) for a in idle] == [isinstance(b, Idle) for b in busy]


def test_edits_of_different_sizes_never_share_a_micro_batch():
    batches = transitions(play(Owner(), sizes=((4, 4), (8, 4))))
    assert {batch.x_t.shape[1] for batch in batches} == {3, 4}
    assert sum(map(len, batches)) == 24


# ---- settings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "flag"),
    [
        ({"group_size": 1}, "rollout.group_size: wanted at least 2"),
        ({"noise_level": 0.0}, "rollout.noise_level: wanted > 0"),
        ({"num_steps": 2, "window": SDEWindow(size=2)}, "rollout.window.size"),
    ],
)
def test_settings_that_cannot_work_name_their_flag(wrong: dict[str, Any], flag: str):
    with pytest.raises(ValueError, match=flag):
        RolloutSettings(**wrong)


def _sorted(rows: Tensor) -> Tensor:
    return rows.flatten(1).unique(dim=0)
