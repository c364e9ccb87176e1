"""Stochastic steps against formulas written a second time in float64, closed forms and Monte Carlo."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hpedit import sde
from hpedit.flow import SigmaSchedule, interpolate, sigma_grid, target_velocity
from hpedit.sde import SDEKind

KINDS: tuple[SDEKind, ...] = ("flow_sde", "cps", "dance")
KONTEXT = SigmaSchedule(use_dynamic_shifting=True)
QWEN = SigmaSchedule(use_dynamic_shifting=True, max_tokens=8192, max_shift=0.9, shift_terminal=0.02)


def published_step(
    kind: str, x: np.ndarray, v: np.ndarray, t: float, t_next: float, a: float
) -> tuple[np.ndarray, float]:
    """The steps as Flow-GRPO, Flow-CPS and DanceGRPO write them, one sample at a time."""
    dt = t_next - t
    x0, x1 = x - t * v, x + (1 - t) * v
    if kind == "flow_sde":
        s = a * math.sqrt(t / (1 - (t_next if t == 1 else t)))
        mean = x * (1 + s**2 / (2 * t) * dt) + v * (1 + s**2 * (1 - t) / (2 * t)) * dt
        return mean, s * math.sqrt(-dt)
    if kind == "cps":
        std = t_next * math.sin(a * math.pi / 2)
        return x0 * (1 - t_next) + x1 * math.sqrt(t_next**2 - std**2), std
    score = -(x - x0 * (1 - t)) / t**2
    return x + v * dt - 0.5 * a**2 * score * dt, a * math.sqrt(-dt)


def random_step(seed: int, num: int = 4) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x_t, v and descending times in float64; the first sample starts at t = 1, the last ends at 0."""
    g = torch.Generator().manual_seed(seed)
    x, v = torch.randn(2, num, 6, 3, dtype=torch.float64, generator=g)
    t = 0.05 + 0.9 * torch.rand(num, dtype=torch.float64, generator=g)
    t_next = t * torch.rand(num, dtype=torch.float64, generator=g)
    t[0], t_next[-1] = 1.0, 0.0
    return x, v, t, t_next


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), kind=st.sampled_from(KINDS), noise_level=st.floats(0, 1))
def test_steps_are_the_published_ones(seed: int, kind: SDEKind, noise_level: float) -> None:
    x, v, t, t_next = random_step(seed)
    mean, std = sde.step_mean_std(kind, x, v, t, t_next, noise_level)
    assert std.shape == (4,)
    for i in range(len(t)):
        wanted_mean, wanted_std = published_step(
            kind, x[i].numpy(), v[i].numpy(), t[i].item(), t_next[i].item(), noise_level
        )
        np.testing.assert_allclose(mean[i].numpy(), wanted_mean, rtol=1e-9, atol=1e-9)
        assert std[i].item() == pytest.approx(wanted_std, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_float32_steps_are_the_float64_ones_within_rounding(kind: SDEKind) -> None:
    x, v, t, t_next = (z.float() for z in random_step(0, num=64))
    mean, std = sde.step_mean_std(kind, x, v, t, t_next, 0.8)
    exact_mean, exact_std = sde.step_mean_std(kind, x.double(), v.double(), t.double(), t_next.double(), 0.8)
    assert mean.dtype == std.dtype == torch.float32
    torch.testing.assert_close(mean, exact_mean.float(), rtol=1e-5, atol=2e-6)
    torch.testing.assert_close(std, exact_std.float(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_without_noise_the_step_is_bitwise_euler(kind: SDEKind) -> None:
    x, v, t, t_next = (z.float() for z in random_step(1))
    x_next, mean, std = sde.sample_step(kind, x, v, t, t_next, 0.0, torch.randn(4, 6, 3))
    euler = sde.euler_step(x, v, t, t_next)
    assert torch.equal(mean, euler)
    assert torch.equal(x_next, euler)
    assert torch.equal(std, torch.zeros(4))


@pytest.mark.parametrize("num_steps", [4, 10, 28])
def test_euler_is_bitwise_the_schedulers_step(num_steps: int) -> None:
    scheduler: Any = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift_terminal=0.02)
    scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / num_steps, num_steps), mu=0.7)
    g = torch.Generator().manual_seed(0)
    ours = theirs = torch.randn(2, 8, 4, generator=g)
    for i, timestep in enumerate(scheduler.timesteps):
        v = torch.randn(2, 8, 4, generator=g)
        ours = sde.euler_step(ours, v, scheduler.sigmas[i].expand(2), scheduler.sigmas[i + 1].expand(2))
        theirs = scheduler.step(v, timestep, theirs).prev_sample
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_first_and_the_last_step_are_finite(kind: SDEKind, dtype: torch.dtype) -> None:
    for schedule in (KONTEXT, QWEN, SigmaSchedule()):
        grid = sigma_grid(6, 1024, schedule)
        x, v, noise = torch.randn(3, 2, 6, 3, generator=torch.Generator().manual_seed(0)).to(dtype)
        for t, t_next in ((grid[0], grid[1]), (grid[-2], grid[-1]), (grid[0], grid[-1])):
            for out in sde.sample_step(kind, x, v, t.expand(2), t_next.expand(2), 0.9, noise):
                assert out.isfinite().all()
                assert out.dtype == torch.float32


@pytest.mark.parametrize("kind", KINDS)
def test_scalar_and_per_sample_times_agree(kind: SDEKind) -> None:
    x, v, noise = torch.randn(3, 2, 6, 3)
    t, t_next = torch.tensor(0.6), torch.tensor(0.5)
    scalar = sde.sample_step(kind, x, v, t, t_next, 0.7, noise)
    rows = sde.sample_step(kind, x, v, t.expand(2), t_next.expand(2), 0.7, noise)
    for a, b in zip(scalar, rows, strict=True):
        assert a.shape == b.shape
        assert torch.equal(a, b)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("t", "t_next"), [(1.0, 0.8), (0.7, 0.4), (0.3, 0.02)])
def test_noise_left_after_a_step_with_the_exact_velocity(kind: SDEKind, t: float, t_next: float) -> None:
    """Monte Carlo: Gaussian data, v = eps - x_0; what is not (1 - t_next) x_0 is noise of the closed form."""
    g = torch.Generator().manual_seed(0)
    x_0, eps, noise = torch.randn(3, 400, 50, 10, dtype=torch.float64, generator=g)
    time, time_next = torch.tensor(t, dtype=torch.float64), torch.tensor(t_next, dtype=torch.float64)
    x_t = interpolate(0.5 + 2 * x_0, eps, time)
    v = target_velocity(0.5 + 2 * x_0, eps)
    x_next, _, _ = sde.sample_step(kind, x_t, v, time, time_next, 0.8, noise)
    left = x_next - (1 - t_next) * (0.5 + 2 * x_0)
    wanted = sde.marginal_std(kind, time, time_next, 0.8).item()
    # 200 000 draws: the relative standard error of a standard deviation is 0.16 %.
    assert left.std().item() == pytest.approx(wanted, rel=0.007)
    assert left.mean().item() == pytest.approx(0, abs=4 * wanted / math.sqrt(left.numel()))
    if kind == "cps":
        assert wanted == pytest.approx(t_next, rel=1e-12)
    else:
        assert wanted > t_next


@settings(max_examples=50, deadline=None)
@given(t=st.floats(0.01, 1), share=st.floats(0, 0.99), noise_level=st.floats(0, 1))
def test_cps_keeps_the_noise_level_at_every_time(t: float, share: float, noise_level: float) -> None:
    times = torch.tensor([t, t * share], dtype=torch.float64)
    assert sde.marginal_std("cps", times[0], times[1], noise_level).item() == pytest.approx(t * share)


@pytest.mark.parametrize(
    ("schedule", "num_steps", "noise_level", "after"),
    [
        (KONTEXT, 6, 0.9, {0: 1.03, 1: 0.98, 2: 0.75, 3: 0.58, 4: 0.415, 5: 0.33}),
        (QWEN, 10, 1.0, {0: 1.09, 1: 1.05, 7: 0.28, 8: 0.21}),
        (QWEN, 10, 0.7, {0: 0.98, 8: 0.14}),
    ],
)
def test_flow_sde_leaves_the_known_excess(
    schedule: SigmaSchedule, num_steps: int, noise_level: float, after: dict[int, float]
) -> None:
    """Noise after each step at 512 pixels, worked out once by hand from Flow-GRPO's formula."""
    grid = sigma_grid(num_steps, 1024, schedule)
    left = sde.marginal_std("flow_sde", grid[:-1], grid[1:], noise_level)
    for step, wanted in after.items():
        assert left[step].item() == pytest.approx(wanted, abs=0.006)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**31), kind=st.sampled_from(KINDS), noise_level=st.floats(0, 1))
def test_noise_left_follows_from_the_published_formulas(seed: int, kind: SDEKind, noise_level: float) -> None:
    """Their means are linear in (x_0, eps): feed each alone to read its coefficient off."""
    _, _, t, t_next = random_step(seed)
    left = sde.marginal_std(kind, t, t_next, noise_level)
    for i, (time, time_next) in enumerate(zip(t.tolist(), t_next.tolist(), strict=True)):
        of_x_0, _ = published_step(kind, np.array(1 - time), np.array(-1.0), time, time_next, noise_level)
        of_eps, std = published_step(kind, np.array(time), np.array(1.0), time, time_next, noise_level)
        assert of_x_0 == pytest.approx(1 - time_next, abs=1e-9)
        assert left[i].item() == pytest.approx(math.hypot(of_eps, std), rel=1e-9, abs=1e-9)


def end_std(kind: SDEKind, noise_level: float, num_steps: int, data_std: float) -> float:
    """Standard deviation at t = 0 of N(0, data_std^2) data under its posterior-mean velocity.

    That velocity is linear in x, so the variance obeys a recursion and nothing need be drawn.
    """
    grid = torch.linspace(1, 0, num_steps + 1, dtype=torch.float64)
    x, variance = torch.ones(1, 1, 1, dtype=torch.float64), 1.0
    for t, t_next in pairwise(grid):
        slope = (t - (1 - t) * data_std**2) / ((1 - t) ** 2 * data_std**2 + t**2)
        level = noise_level if t_next > 0 else 0.0
        mean, std = sde.step_mean_std(kind, x, slope * x, t, t_next, level)
        variance = mean.item() ** 2 * variance + std.item() ** 2
    return math.sqrt(variance)


@pytest.mark.parametrize(("kind", "noise_level"), [("flow_sde", 0.9), ("dance", 0.5), ("flow_sde", 0.0)])
def test_many_small_steps_end_at_the_distribution_of_the_data(kind: SDEKind, noise_level: float) -> None:
    errors = [abs(end_std(kind, noise_level, n, 0.5) - 0.5) for n in (10, 1000)]
    assert errors[1] < 1e-3
    assert errors[1] < 0.1 * errors[0]


def test_cps_keeps_noise_but_shrinks_the_spread_of_the_data() -> None:
    """Its noise does not fade with the step, so more steps do not help; see marginal_std."""
    assert end_std("cps", 0.8, 1000, 0.5) == pytest.approx(0.403, abs=0.003)


def test_log_prob_is_the_mean_log_density() -> None:
    x, mean, _, _ = random_step(3)
    std = torch.tensor([0.1, 0.5, 1.0, 3.0], dtype=torch.float64)
    wanted = torch.distributions.Normal(mean, std[:, None, None]).log_prob(x).mean((1, 2))
    torch.testing.assert_close(sde.gaussian_log_prob(x, mean, std), wanted)


def test_float32_log_prob_is_far_more_exact_than_the_clips() -> None:
    g = torch.Generator().manual_seed(0)
    mean, noise = torch.randn(2, 3, 1024, 64, generator=g)
    std = torch.tensor([0.02, 0.3, 0.9])
    x = mean + std[:, None, None] * noise
    exact = sde.gaussian_log_prob(x.double(), mean.double(), std.double())
    assert (sde.gaussian_log_prob(x, mean, std) - exact).abs().max() < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_the_ratio_of_unchanged_weights_is_exactly_one(kind: SDEKind) -> None:
    x, v, t, t_next = (z.float() for z in random_step(4))
    t_next[-1] = 0.01
    x_next, mean, std = sde.sample_step(kind, x, v, t, t_next, 0.9, torch.randn(4, 6, 3))
    old = sde.gaussian_log_prob(x_next, mean, std)
    new = sde.gaussian_log_prob(x_next, *sde.step_mean_std(kind, x, v, t, t_next, 0.9))
    assert torch.equal((new - old).exp(), torch.ones(4))


@pytest.mark.parametrize("kind", KINDS)
def test_a_rows_log_prob_does_not_depend_on_its_batch(kind: SDEKind) -> None:
    """Rollout chunks and training micro-batches differ in size; here that must not move a bit."""
    x, v, x_next = torch.randn(3, 8, 37, 5, generator=torch.Generator().manual_seed(0))
    t = torch.linspace(0.4, 1, 8)
    together = sde.gaussian_log_prob(x_next, *sde.step_mean_std(kind, x, v, t, t - 0.1, 0.9))
    for i in range(8):
        row = slice(i, i + 1)
        step = sde.step_mean_std(kind, x[row], v[row], t[row], t[row] - 0.1, 0.9)
        assert torch.equal(sde.gaussian_log_prob(x_next[row], *step), together[row])


def test_a_deterministic_step_has_no_density() -> None:
    x = torch.zeros(2, 3, 1)
    with pytest.raises(ValueError, match="std"):
        sde.gaussian_log_prob(x, x, torch.tensor([0.5, 0.0]))
    with pytest.raises(ValueError, match="std"):
        sde.gaussian_log_prob(x, x, torch.tensor([0.5, math.nan]))


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_the_log_prob_reach_the_velocity(kind: SDEKind) -> None:
    x, v, t, t_next = random_step(5)
    t_next[-1] = 0.01
    x_next = torch.randn_like(x)

    def log_prob(velocity: Tensor) -> Tensor:
        return sde.gaussian_log_prob(x_next, *sde.step_mean_std(kind, x, velocity, t, t_next, 0.8))

    assert torch.autograd.gradcheck(log_prob, v.requires_grad_())


@pytest.mark.parametrize(("kind", "noise_level"), [("cps", 1.1), ("flow_sde", -0.1), ("heun", 0.5)])
def test_a_bad_kind_or_noise_level_is_named(kind: str, noise_level: float) -> None:
    x, v, t, t_next = random_step(6)
    with pytest.raises(ValueError, match=f"{kind}|{noise_level}"):
        sde.step_mean_std(kind, x, v, t, t_next, noise_level)  # type: ignore[arg-type]
