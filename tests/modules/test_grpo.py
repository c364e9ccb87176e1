"""What a round of FlowGRPOModule does, and what it refuses to do, in one process."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from hpedit.lora import lora_layers
from hpedit.modules.grpo import FlowGRPOModule, GRPOLoss
from hpedit.modules.ratio_check import ratio_error
from hpedit.sde import step_mean_std
from hpedit.types import Transition
from hpedit.window import SDEWindow
from tests.modules import support
from tests.modules.support import ROLLOUT, PictureReward, Recorder

WIDE = GRPOLoss(clip_low=0.2, clip_high=0.2)


def still(params: Any) -> torch.optim.SGD:
    return torch.optim.SGD(params, lr=0.0)


def play(checkpoint: str, rounds: int = 1, **settings: Any) -> tuple[FlowGRPOModule, Recorder]:
    """Run rounds with a learning rate of 0 unless the settings say otherwise."""
    module, recorder = support.grpo(checkpoint, **({"optimizer": still} | settings)), Recorder()
    support.fit(module, PictureReward(), rounds, callbacks=[recorder])
    return module, recorder


@pytest.fixture(scope="module")
def played(checkpoint: str) -> tuple[FlowGRPOModule, list[Transition]]:
    """A module and the transitions of one round, which left the weights as they were."""
    module, recorder = play(
        checkpoint, rollout=replace(ROLLOUT, prompts_per_round=2), loss=replace(WIDE, ratio_norm=True)
    )
    module.trainer = None  # log is then a no-op
    module.loss = WIDE
    return module, recorder.transitions()


@contextmanager
def settings(module: FlowGRPOModule, loss: GRPOLoss) -> Iterator[None]:
    before, module.loss = module.loss, loss
    try:
        yield
    finally:
        module.loss = before


@contextmanager
def moved(module: FlowGRPOModule) -> Iterator[None]:
    """Leave the reference inside the block."""
    before = support.trained(module)
    support.perturb(module)
    try:
        yield
    finally:
        module.load_state_dict(before, strict=False)


def gradients(module: FlowGRPOModule, batch: Transition) -> dict[str, Tensor]:
    module.zero_grad()
    module.training_step(replace(batch, first=False), 0).backward()
    return {n: p.grad.clone() for n, p in module.named_parameters() if p.requires_grad and p.grad is not None}


def error_of(module: FlowGRPOModule, batch: Transition) -> float:
    with torch.no_grad():
        v = module.editor.velocity(batch.x_t, batch.t, batch.cond, module.rollout.guidance)
        mean, std = step_mean_std(module.rollout.sde, batch.x_t, v, batch.t, batch.t_next, batch.noise_level)
        return float(ratio_error(module.log_ratio(batch, mean, std), batch.weight))


# ---- on-policy exactness ------------------------------------------------------------------------------------------


def test_before_the_first_update_every_ratio_is_one(played: Any):
    """Chunks of 8 and micro-batches of 4 in another order, padded differently: fp32 rounding is all there is."""
    module, batches = played
    assert len(batches) == 4
    assert max(error_of(module, batch) for batch in batches) < 1e-6


def test_the_normalised_ratio_is_one_too(played: Any):
    module, batches = played
    with settings(module, replace(WIDE, ratio_norm=True)):
        assert max(error_of(module, batch) for batch in batches) < 1e-5


def test_in_bf16_autocast_the_ratio_is_within_the_default_tolerance(checkpoint: str):
    support.fit(support.grpo(checkpoint, optimizer=still), PictureReward(), 1, precision="bf16-mixed")


def test_weights_changed_between_rollout_and_training_stop_the_run_with_the_causes(checkpoint: str):
    module, reward = support.grpo(checkpoint), PictureReward()
    reward.after = lambda: support.perturb(module)
    with pytest.raises(RuntimeError, match=r"(?s)--model\.ratio_tolerance.*weights were changed"):
        support.fit(module, reward, 1)


def test_a_wider_tolerance_lets_it_go_on(checkpoint: str):
    module, reward = support.grpo(checkpoint, ratio_tolerance=10.0), PictureReward()
    reward.after = lambda: support.perturb(module)
    assert support.fit(module, reward, 1).global_step == 1


def test_only_what_comes_before_the_first_update_is_checked(checkpoint: str):
    _, recorder = play(checkpoint, updates_per_pass=2, inner_epochs=2)
    firsts = [batch.first for batch in recorder.transitions()]
    assert firsts == [True] * 4 + [False] * 12


# ---- groups that teach nothing ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("flat", "missing", "rows"), [(("case1",), (), 24), ((), ("case0", "case3"), 16)])
def test_groups_without_spread_or_score_cost_no_training(checkpoint: str, flat: Any, missing: Any, rows: int):
    """Four samples of each of four cases, two trained steps each."""
    module = support.grpo(checkpoint)
    with support.counted_forwards(module) as forwards:
        support.fit(module, PictureReward(flat, missing), 1)
    assert forwards.training == {0: rows}


def test_a_round_that_teaches_nothing_moves_nothing_and_counts_its_updates(checkpoint: str):
    module = support.grpo(checkpoint, optimizer=support.adam, updates_per_pass=2)
    everything = tuple(f"case{i}" for i in range(4, 8))
    kept: list[dict[str, Tensor]] = []

    class Keep(support.pl.Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            kept.append(support.trained(pl_module))

    with support.counted_forwards(module) as forwards:
        run = support.fit(module, PictureReward(everything), 2, callbacks=[Keep()])
    assert forwards.training[1] == 0
    assert run.global_step == 4
    assert all(torch.equal(kept[0][name], kept[1][name]) for name in kept[0])


def test_a_round_without_any_reward_stops_the_run(checkpoint: str):
    everything = tuple(f"case{i}" for i in range(4))
    with pytest.raises(ValueError, match="round 0: wanted rewards from a RolloutCallback"):
        support.fit(support.grpo(checkpoint), PictureReward(missing=everything), 1)


# ---- the loss -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_the_reference_is_asked_only_where_the_kl_has_weight(played: Any, weight: float):
    module, batches = played
    with settings(module, replace(WIDE, kl_weight=weight)), support.counted_forwards(module) as forwards:
        gradients(module, batches[0])
    assert forwards.training.total() == 4
    assert forwards.sampling.total() == (4 if weight else 0)


@pytest.mark.parametrize("kind", ["gaussian", "per_dt", "velocity"])
def test_each_kl_reaches_every_adapter_weight(played: Any, kind: Any):
    module, batches = played
    silent = replace(batches[0], advantage=torch.zeros(4))
    with settings(module, replace(WIDE, kl_weight=1.0, kl=kind)), moved(module):
        grads = gradients(module, silent)
    trained = [name for name, p in module.named_parameters() if p.requires_grad]
    assert [name for name in trained if name not in grads or not grads[name].any()] == []


def test_the_kl_is_zero_at_the_reference(played: Any):
    module, batches = played
    silent = replace(batches[0], advantage=torch.zeros(4))
    with settings(module, replace(WIDE, kl_weight=1.0)):
        assert not any(grad.any() for grad in gradients(module, silent).values())


@pytest.mark.parametrize("advantage", [1.0, -1.0])
def test_an_update_makes_good_samples_likelier_and_bad_ones_less_so(played: Any, advantage: float):
    module, batches = played
    batch = replace(batches[0], advantage=torch.full((4,), advantage))
    before = support.trained(module)
    grads = gradients(module, batch)
    with torch.no_grad():
        for name, p in module.named_parameters():
            if name in grads:
                p.sub_(10.0 * grads[name])
        v = module.editor.velocity(batch.x_t, batch.t, batch.cond, module.rollout.guidance)
        mean, std = step_mean_std(module.rollout.sde, batch.x_t, v, batch.t, batch.t_next, batch.noise_level)
        change = module.log_ratio(batch, mean, std).mean()
    module.load_state_dict(before, strict=False)
    assert float(change) * advantage > 1e-6


def test_gradient_checkpointing_changes_no_gradient(played: Any):
    module, batches = played
    with moved(module):
        plain = gradients(module, batches[0])
        module.editor.transformer.enable_gradient_checkpointing()
        try:
            saved = gradients(module, batches[0])
        finally:
            module.editor.transformer.disable_gradient_checkpointing()
    assert all(torch.equal(plain[name], saved[name]) for name in plain)
    assert any(grad.any() for grad in plain.values())


def test_the_size_of_micro_batches_does_not_matter(checkpoint: str):
    trained = []
    for rows in (4, 16):
        module, _ = play(checkpoint, 2, micro_batch_size=rows, optimizer=support.sgd)
        trained.append(support.trained(module))
    moved = max(float(w.abs().max()) for name, w in trained[0].items() if "lora_B" in name)
    apart = max(float((trained[0][n] - trained[1][n]).abs().max()) for n in trained[0])
    assert moved > 1e-3
    assert apart < 1e-4 * moved


def test_grpo_guard_trains(checkpoint: str):
    loss = replace(WIDE, ratio_norm=True)
    module, recorder = play(checkpoint, loss=loss, optimizer=support.sgd)
    assert all(batch.mean_old is not None for batch in recorder.transitions())
    assert any(weight.any() for name, weight in support.trained(module).items() if "lora_B" in name)


def test_all_weights_are_trained_against_a_copy_that_stays(checkpoint: str):
    pretrained = support.tiny_editor(checkpoint)
    pretrained.load()
    before = dict(pretrained.transformer.named_parameters())
    module, _ = play(checkpoint, lora=None, loss=replace(WIDE, kl_weight=0.1), optimizer=support.sgd_full)
    assert module.policy is not None
    assert module.policy.frozen_copy is not None
    copy = dict(module.policy.frozen_copy.named_parameters())
    assert all(torch.equal(before[name], copy[name]) for name in before)
    after = dict(module.policy.transformer.named_parameters())
    assert any(not torch.equal(before[name], after[name]) for name in before)


# ---- the round ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shared", [True, False])
def test_a_group_starts_from_shared_or_separate_noise(checkpoint: str, shared: bool):
    rollout = replace(ROLLOUT, shared_noise=shared, window=SDEWindow(size=1, mode="fixed"))
    _, recorder = play(checkpoint, rollout=rollout)
    starts = torch.cat([batch.x_t for batch in recorder.transitions()])
    assert len(starts) == 16
    assert len(starts.unique(dim=0)) == (4 if shared else 16)


def test_the_window_slides_from_round_to_round(checkpoint: str):
    rollout = replace(ROLLOUT, prompts_per_round=2, window=SDEWindow(size=1, mode="sliding"))
    module, recorder = play(checkpoint, 3, rollout=rollout)
    sigmas = module.editor.sigmas(4, (64, 64)).tolist()
    assert [recorder.times(round) for round in range(3)] == [[sigmas[0]], [sigmas[1]], [sigmas[2]]]


def test_inner_epochs_see_the_same_rows_in_another_order(checkpoint: str):
    _, recorder = play(checkpoint, inner_epochs=2)
    batches = recorder.transitions()
    passes = [torch.cat([b.log_prob_old for b in part]) for part in (batches[:8], batches[8:])]
    assert torch.equal(passes[0].sort().values, passes[1].sort().values)
    assert not torch.equal(passes[0], passes[1])


@pytest.mark.parametrize(("inner", "updates", "steps"), [(1, 1, 2), (1, 4, 8), (2, 2, 8)])
def test_updates_of_a_run_are_rounds_times_passes_times_updates(
    checkpoint: str, inner: int, updates: int, steps: int
):
    module = support.grpo(checkpoint, inner_epochs=inner, updates_per_pass=updates, optimizer=still)
    assert support.fit(module, PictureReward(), 2).global_step == steps


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a compiler")
def test_compiled_blocks_give_the_same_velocity(checkpoint: str, played: Any):
    module, batches = played
    compiled = support.grpo(checkpoint, compile_blocks=True)
    compiled.configure_model()
    compiled.load_state_dict(support.trained(module), strict=False)
    x_t, t, cond = batches[0].x_t, batches[0].t, batches[0].cond
    with torch.no_grad():
        plain = module.editor.velocity(x_t, t, cond, module.rollout.guidance)
        fast = compiled.editor.velocity(x_t, t, cond, module.rollout.guidance)
    assert torch.allclose(plain, fast, atol=1e-4)
    assert sum(1 for _ in lora_layers(compiled.editor.transformer)) == 20


# ---- what is refused ----------------------------------------------------------------------------------------------


def test_a_run_without_rewards_is_refused_before_weights_are_read(checkpoint: str):
    module = support.grpo(checkpoint + "-not-there")
    with pytest.raises(ValueError, match="--reward: FlowGRPOModule wanted a RewardCallback"):
        support.trainer(1, []).fit(module, datamodule=support.Cases())


def test_the_trainer_s_own_accumulation_is_refused(checkpoint: str):
    with pytest.raises(ValueError, match=r"trainer\.accumulate_grad_batches: wanted 1 .*, got 3"):
        support.fit(support.grpo(checkpoint), PictureReward(), 1, accumulate_grad_batches=3)


@pytest.mark.parametrize(
    ("wrong", "flag"),
    [
        ({"clip_low": 1.0}, "loss.clip_low"),
        ({"clip_high": -0.1}, "loss.clip_high"),
        ({"kl_weight": -1.0}, "loss.kl_weight"),
    ],
)
def test_settings_out_of_range_name_their_flag(wrong: dict[str, float], flag: str):
    with pytest.raises(ValueError, match=flag):
        GRPOLoss(**wrong)  # type: ignore[arg-type]
