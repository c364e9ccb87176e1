"""Paths, velocities and the sigma grids of the diffusers scheduler."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from hpedit import flow
from hpedit.flow import SigmaSchedule, sigma_grid

QWEN_IMAGE_EDIT = {
    "use_dynamic_shifting": True,
    "base_shift": 0.5,
    "max_shift": 0.9,
    "base_image_seq_len": 256,
    "max_image_seq_len": 8192,
    "shift": 1.0,
    "shift_terminal": 0.02,
    "time_shift_type": "exponential",
}
FLUX_KONTEXT = {
    "use_dynamic_shifting": True,
    "base_shift": 0.5,
    "max_shift": 1.15,
    "base_image_seq_len": 256,
    "max_image_seq_len": 4096,
    "shift": 3.0,
}
SCHEDULERS = {
    "qwen": QWEN_IMAGE_EDIT,
    "qwen_without_terminal": QWEN_IMAGE_EDIT | {"shift_terminal": None},
    "flux": FLUX_KONTEXT,
    "linear": FLUX_KONTEXT | {"time_shift_type": "linear"},
    "static_3": {"shift": 3.0},
    "static_terminal": {"shift": 2.3, "shift_terminal": 0.1},
    "plain": {},
}


def pipeline_mu(num_tokens: int, c: Any) -> float:
    """The straight line that the pipelines evaluate, in their order of operations."""
    m = (c.max_shift - c.base_shift) / (c.max_image_seq_len - c.base_image_seq_len)
    b = c.base_shift - m * c.base_image_seq_len
    return num_tokens * m + b


@pytest.mark.parametrize("config", SCHEDULERS.values(), ids=SCHEDULERS.keys())
@pytest.mark.parametrize("num_tokens", [16, 256, 1024, 1517, 4096, 6400])
@pytest.mark.parametrize("num_steps", [2, 6, 10, 28, 50])
def test_sigma_grid_is_bitwise_the_schedulers(config: dict, num_tokens: int, num_steps: int) -> None:
    scheduler: Any = FlowMatchEulerDiscreteScheduler(**config)
    scheduler.set_timesteps(
        sigmas=np.linspace(1.0, 1 / num_steps, num_steps), mu=pipeline_mu(num_tokens, scheduler.config)
    )
    grid = sigma_grid(num_steps, num_tokens, SigmaSchedule.from_scheduler_config(scheduler.config))
    assert grid.dtype == torch.float32
    assert torch.equal(grid, scheduler.sigmas)


@pytest.mark.parametrize("config", SCHEDULERS.values(), ids=SCHEDULERS.keys())
def test_a_grid_of_any_length_falls_from_one_to_zero(config: dict) -> None:
    schedule = SigmaSchedule.from_scheduler_config(config)
    for num_steps in (1, 2, 3, 7, 40):
        grid = sigma_grid(num_steps, 1024, schedule)
        assert grid.shape == (num_steps + 1,)
        assert grid[0] == 1
        assert grid[-1] == 0
        assert (grid.diff() < 0).all()


def test_the_grid_of_kontext_at_512_pixels_is_the_known_one() -> None:
    grid = sigma_grid(6, 1024, SigmaSchedule.from_scheduler_config(FLUX_KONTEXT))
    assert grid.numpy().round(2).tolist() == pytest.approx([1, 0.90, 0.79, 0.65, 0.48, 0.27, 0])


def test_mu_runs_through_both_anchors_and_beyond() -> None:
    assert flow.resolution_mu(256) == pytest.approx(0.5)
    assert flow.resolution_mu(4096) == pytest.approx(1.15)
    assert flow.resolution_mu(7936) == pytest.approx(1.8)
    assert flow.resolution_mu(8192, 256, 8192, 0.5, 0.9) == pytest.approx(0.9)


@pytest.mark.parametrize("config", [QWEN_IMAGE_EDIT, FLUX_KONTEXT], ids=["qwen", "flux"])
def test_mu_is_bitwise_the_pipelines(config: dict) -> None:
    scheduler: Any = FlowMatchEulerDiscreteScheduler(**config)
    c = scheduler.config
    for n in range(64, 9000, 13):
        mu = flow.resolution_mu(n, c.base_image_seq_len, c.max_image_seq_len, c.base_shift, c.max_shift)
        assert mu == pipeline_mu(n, c)


def test_schedule_defaults_are_those_of_the_scheduler() -> None:
    assert SigmaSchedule.from_scheduler_config(FlowMatchEulerDiscreteScheduler().config) == SigmaSchedule()


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"use_karras_sigmas": True}, "use_karras_sigmas"),
        ({"use_exponential_sigmas": True}, "use_exponential_sigmas"),
        ({"use_beta_sigmas": True}, "use_beta_sigmas"),
        ({"invert_sigmas": True}, "invert_sigmas"),
        ({"stochastic_sampling": True}, "stochastic_sampling"),
        ({"_class_name": "DDIMScheduler"}, "DDIMScheduler"),
        ({"shift": 0.0}, "shift"),
        ({"shift_terminal": 1.0}, "shift_terminal"),
        ({"time_shift_type": "cubic"}, "cubic"),
        ({"base_image_seq_len": 4096}, "4096"),
    ],
)
def test_a_scheduler_that_cannot_be_matched_is_named(config: dict, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        SigmaSchedule.from_scheduler_config(config)


def test_a_grid_needs_a_step() -> None:
    with pytest.raises(ValueError, match="num_steps"):
        sigma_grid(0, 1024, SigmaSchedule())


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**31), time=st.floats(0, 1))
def test_velocity_and_position_give_both_ends_back(seed: int, time: float) -> None:
    x_0, eps = torch.randn(2, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    t = torch.tensor([time, 0.0, 1.0], dtype=torch.float64)
    x_t, v = flow.interpolate(x_0, eps, t), flow.target_velocity(x_0, eps)
    torch.testing.assert_close(flow.velocity_to_x0(x_t, v, t), x_0)
    torch.testing.assert_close(flow.velocity_to_eps(x_t, v, t), eps)
    assert torch.equal(x_t[1], x_0[1])
    assert torch.equal(x_t[2], eps[2])


def test_velocity_is_the_derivative_of_the_path() -> None:
    x_0, eps = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    before, after = (flow.interpolate(x_0, eps, torch.tensor(t, dtype=torch.float64)) for t in (0.3, 0.4))
    torch.testing.assert_close((after - before) / 0.1, flow.target_velocity(x_0, eps))


def test_scalar_and_per_sample_times_agree() -> None:
    x, v = torch.randn(2, 3, 4, 5)
    t = torch.tensor(0.7)
    for function in (flow.interpolate, flow.velocity_to_x0, flow.velocity_to_eps):
        assert torch.equal(function(x, v, t), function(x, v, t.expand(3)))


def test_half_precision_is_cast_up_and_double_kept() -> None:
    for given_dtype, wanted in (
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
        (torch.float64, torch.float64),
    ):
        x, t = torch.ones(2, 3, 4, dtype=given_dtype), torch.full((2,), 0.5, dtype=given_dtype)
        for function in (flow.interpolate, flow.velocity_to_x0, flow.velocity_to_eps):
            assert function(x, x, t).dtype == wanted
        assert flow.target_velocity(x, x).dtype == wanted


@pytest.mark.parametrize("shape", [(2,), (3, 1), (4,)])
def test_times_that_would_mix_samples_are_refused(shape: tuple[int, ...]) -> None:
    x = torch.zeros(3, 4, 4)
    with pytest.raises(ValueError, match="t: wanted"):
        flow.interpolate(x, x, torch.zeros(shape))


def test_uniform_training_times_fill_the_interval() -> None:
    t = flow.sample_training_time(20_000, "uniform", torch.Generator().manual_seed(0))
    assert t.shape == (20_000,)
    assert t.dtype == torch.float32
    # Kolmogorov-Smirnov distance; 1.63 / sqrt(n) is the 1 % bound.
    rank = torch.arange(1, len(t) + 1) / len(t)
    assert (t.sort().values - rank).abs().max() < 1.63 / math.sqrt(len(t))


def test_logit_normal_training_times_have_the_stated_logits() -> None:
    t = flow.sample_training_time(20_000, "logit_normal", torch.Generator().manual_seed(0), mean=0.4, std=0.8)
    logit = torch.logit(t.double())
    assert logit.mean().item() == pytest.approx(0.4, abs=4 * 0.8 / math.sqrt(len(t)))
    assert logit.std().item() == pytest.approx(0.8, rel=0.02)


def test_training_shift_multiplies_the_odds() -> None:
    plain, shifted = (
        flow.sample_training_time(100, "uniform", torch.Generator().manual_seed(1), shift=shift).double()
        for shift in (1.0, 3.0)
    )
    torch.testing.assert_close(shifted / (1 - shifted), 3 * plain / (1 - plain), rtol=1e-4, atol=1e-6)


def test_training_times_come_from_the_generator() -> None:
    draws = [
        flow.sample_training_time(8, "uniform", torch.Generator().manual_seed(seed)) for seed in (5, 5, 6)
    ]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


@pytest.mark.parametrize(("kind", "std", "shift"), [("cosine", 1, 1), ("uniform", 0, 1), ("uniform", 1, 0)])
def test_bad_training_time_settings_are_named(kind: str, std: float, shift: float) -> None:
    with pytest.raises(ValueError, match="training time"):
        flow.sample_training_time(1, kind, None, std=std, shift=shift)  # type: ignore[arg-type]
