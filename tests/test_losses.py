"""Losses against plain Python, torch.distributions, Monte Carlo and numerical gradients."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hpedit import losses
from hpedit.sde import gaussian_log_prob

F64 = torch.float64


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def surrogate(log_ratio: Tensor, advantage: Tensor, weight: Tensor | None = None, denominator: float = 1.0):
    weight = torch.ones_like(log_ratio) if weight is None else weight
    return losses.clipped_surrogate(
        log_ratio, advantage, weight, clip_low=0.1, clip_high=0.3, denominator=denominator
    )


@settings(max_examples=80, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.floats(-1, 1), st.floats(-5, 5), st.sampled_from([0.0, 0.5, 1.0])),
        min_size=1,
        max_size=8,
    ),
    denominator=st.floats(0.5, 20),
)
def test_surrogate_is_the_one_worked_out_row_by_row(
    rows: list[tuple[float, float, float]], denominator: float
) -> None:
    total, high, low = 0.0, 0, 0
    for log_ratio, a, w in rows:
        r = math.exp(log_ratio)
        total += w * max(-a * r, -a * min(max(r, 0.9), 1.3))
        high += w > 0 and a > 0 and r > 1.3
        low += w > 0 and a < 0 and r < 0.9
    log_ratios, advantages, weights = torch.tensor(rows, dtype=F64).unbind(1)
    loss, metrics = surrogate(log_ratios, advantages, weights, denominator)
    assert loss.item() == pytest.approx(total / denominator, rel=1e-9, abs=1e-9)
    counted = [math.exp(log_ratio) for log_ratio, _, w in rows if w > 0]
    n = max(len(counted), 1)
    assert metrics["clip_high_share"].item() == pytest.approx(high / n)
    assert metrics["clip_low_share"].item() == pytest.approx(low / n)
    assert metrics["ratio_mean"].item() == pytest.approx(sum(counted) / n if counted else 1)
    assert metrics["ratio_min"].item() == pytest.approx(min(counted, default=1))
    assert metrics["ratio_max"].item() == pytest.approx(max(counted, default=1))


def test_a_clipped_row_is_one_without_gradient() -> None:
    """The two share metrics count exactly the rows whose gradient vanished."""
    g = torch.Generator().manual_seed(0)
    log_ratio = (0.5 * torch.randn(200, dtype=F64, generator=g)).requires_grad_()
    loss, metrics = surrogate(log_ratio, torch.randn(200, dtype=F64, generator=g))
    (gradient,) = torch.autograd.grad(loss, log_ratio)
    clipped = metrics["clip_low_share"] + metrics["clip_high_share"]
    assert 0.1 < clipped < 0.9
    assert (gradient == 0).double().mean().item() == pytest.approx(clipped.item())


def test_at_ratio_one_the_gradient_is_that_of_plain_policy_gradient() -> None:
    log_ratio, advantage = torch.zeros(3, dtype=F64, requires_grad=True), rand(3)
    loss, metrics = surrogate(log_ratio, advantage, denominator=3)
    (gradient,) = torch.autograd.grad(loss, log_ratio)
    torch.testing.assert_close(gradient, -advantage / 3)
    assert metrics["ratio_mean"] == metrics["ratio_min"] == metrics["ratio_max"] == 1
    assert metrics["approx_kl"] == 0


def test_rows_of_weight_zero_touch_nothing_even_when_broken() -> None:
    log_ratio = torch.tensor([0.1, math.inf, math.nan], requires_grad=True)
    advantage, weight = torch.tensor([1.0, 2.0, math.nan]), torch.tensor([1.0, 0.0, 0.0])
    loss, metrics = surrogate(log_ratio, advantage, weight)
    alone, alone_metrics = surrogate(log_ratio[:1], advantage[:1])
    assert loss.item() == alone.item()
    assert metrics == alone_metrics
    (gradient,) = torch.autograd.grad(loss, log_ratio)
    assert gradient[0] != 0
    assert torch.equal(gradient[1:], torch.zeros(2))


def test_micro_batches_add_up_to_the_batch() -> None:
    log_ratio, advantage, weight = rand(8), rand(8, seed=1), rand(8, seed=2).abs()
    whole, _ = surrogate(log_ratio, advantage, weight, 8)
    parts = [surrogate(log_ratio[i], advantage[i], weight[i], 8)[0] for i in (slice(3), slice(3, 8))]
    torch.testing.assert_close(sum(parts), whole)


def test_approx_kl_keeps_its_digits_at_ratios_of_one_in_a_million() -> None:
    log_ratio = torch.full((4,), 1e-6)
    _, metrics = surrogate(log_ratio, torch.ones(4))
    assert metrics["approx_kl"].item() == pytest.approx(5e-13, rel=1e-4)


def test_approx_kl_is_the_kl_to_the_policy_that_sampled() -> None:
    """Means a hundredth of a std apart in D dimensions: (0.01)^2 / 2 a dimension, whatever D is."""
    rows, dims, std = 4000, 256, 0.3
    draw = torch.Generator().manual_seed(0)
    z = torch.randn(rows, dims, generator=draw, dtype=F64)
    shift = 0.01 * torch.randn(dims, generator=draw, dtype=F64).sign()
    old, new = (torch.distributions.Normal(m * std, std) for m in (torch.zeros(dims, dtype=F64), shift))
    log_ratio = (new.log_prob(z * std) - old.log_prob(z * std)).mean(1)
    _, metrics = losses.clipped_surrogate(
        log_ratio,
        torch.ones(rows),
        torch.ones(rows),
        clip_low=1e-4,
        clip_high=1e-4,
        denominator=rows,
        dims=dims,
    )
    exact = torch.distributions.kl_divergence(old, new).mean().item()
    assert metrics["approx_kl"].item() == pytest.approx(exact, rel=0.1)


def test_surrogate_gradients_are_the_numerical_ones() -> None:
    log_ratio, advantage, weight = 0.5 * rand(12), rand(12, seed=1), rand(12, seed=2).abs()
    assert torch.autograd.gradcheck(
        lambda x: surrogate(x, advantage, weight, 12)[0], log_ratio.requires_grad_()
    )


def test_weighted_mean_divides_by_what_it_is_given() -> None:
    rows, weight = torch.tensor([1.0, 2.0, math.nan]), torch.tensor([0.5, 1.0, 0.0])
    assert losses.weighted_mean(rows, weight, 10).item() == pytest.approx(0.25)


def sampled_step(seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Noise z, the old mean, a new mean near it, std and x_next = mean_old + std z, in float64."""
    z, mean_old = rand(2, 3, 50, 4, seed=seed)
    std = torch.tensor([0.05, 0.4, 1.0], dtype=F64)
    mean = mean_old + 0.01 * rand(3, 50, 4, seed=seed + 1)
    return z, mean_old, mean, std, mean_old + std[:, None, None] * z


def normalised(mean: Tensor, mean_old: Tensor, std: Tensor, x_next: Tensor) -> Tensor:
    new, old = gaussian_log_prob(x_next, mean, std), gaussian_log_prob(x_next, mean_old, std)
    return losses.ratio_norm_log_ratio(new, old, mean, mean_old, std)


def test_normalised_log_ratio_is_the_noise_along_the_change_of_mean() -> None:
    z, mean_old, mean, std, x_next = sampled_step()
    wanted = (z * (mean - mean_old)).mean((1, 2))
    torch.testing.assert_close(normalised(mean, mean_old, std, x_next), wanted)


def test_each_row_is_normalised_by_itself() -> None:
    _, mean_old, mean, std, x_next = sampled_step()
    together = normalised(mean, mean_old, std, x_next)
    for i in range(3):
        row = slice(i, i + 1)
        torch.testing.assert_close(normalised(mean[row], mean_old[row], std[row], x_next[row]), together[row])


def test_normalisation_takes_the_bias_out_of_the_log_ratio() -> None:
    """Monte Carlo over the noise: the plain log-ratio averages minus the KL, the normalised one 0."""
    g = torch.Generator().manual_seed(0)
    shift, std = 0.05, torch.full((2000,), 0.2, dtype=F64)
    mean_old = torch.zeros(2000, 10, 4, dtype=F64)
    mean = mean_old + shift
    x_next = 0.2 * torch.randn(2000, 10, 4, dtype=F64, generator=g)
    plain = gaussian_log_prob(x_next, mean, std) - gaussian_log_prob(x_next, mean_old, std)
    kl = losses.gaussian_kl(mean, mean_old, std).mean().item()
    error = 4 * plain.std().item() / math.sqrt(2000)
    assert plain.mean().item() == pytest.approx(-kl, abs=error)
    assert error < 0.2 * kl
    assert normalised(mean, mean_old, std, x_next).mean().item() == pytest.approx(0, abs=error * 0.2)


def test_unchanged_weights_give_a_normalised_ratio_of_exactly_one() -> None:
    _, mean_old, _, std, x_next = (z.float() for z in sampled_step())
    assert torch.equal(normalised(mean_old, mean_old, std, x_next), torch.zeros(3))


def test_gaussian_kl_is_exact_per_dimension() -> None:
    _, mean_ref, mean, std, _ = sampled_step()
    normal = torch.distributions.Normal
    scale = std[:, None, None]
    wanted = torch.distributions.kl_divergence(normal(mean, scale), normal(mean_ref, scale)).mean((1, 2))
    torch.testing.assert_close(losses.gaussian_kl(mean, mean_ref, std), wanted)


@pytest.mark.parametrize("dt", [-0.07, 0.07])
def test_kl_per_dt_divides_by_the_diffusion_without_its_step(dt: float) -> None:
    _, mean_ref, mean, diffusion, _ = sampled_step()
    wanted = ((mean - mean_ref) ** 2).mean((1, 2)) / (2 * diffusion**2)
    std = diffusion * math.sqrt(abs(dt))
    kl = losses.gaussian_kl_per_dt(mean, mean_ref, std, torch.full((3,), dt, dtype=F64))
    torch.testing.assert_close(kl, wanted)


def test_velocity_kl_is_the_mean_squared_difference() -> None:
    v, v_ref = rand(2, 3, 5, 4)
    wanted = torch.stack([torch.nn.functional.mse_loss(a, b) for a, b in zip(v, v_ref, strict=True)])
    torch.testing.assert_close(losses.velocity_kl(v, v_ref), wanted)


def test_penalties_need_noise() -> None:
    mean, std = torch.zeros(2, 3, 1), torch.tensor([0.5, 0.0])
    with pytest.raises(ValueError, match="std"):
        losses.gaussian_kl(mean, mean, std)
    with pytest.raises(ValueError, match="std"):
        losses.ratio_norm_log_ratio(std, std, mean, mean, std)


def test_penalties_vanish_at_the_reference_and_pull_towards_it() -> None:
    _, mean_ref, mean, std, _ = sampled_step()
    dt = torch.tensor(-0.1, dtype=F64)
    for penalty in (
        lambda m: losses.gaussian_kl(m, mean_ref, std),
        lambda m: losses.gaussian_kl_per_dt(m, mean_ref, std, dt),
        lambda m: losses.velocity_kl(m, mean_ref),
    ):
        assert torch.equal(penalty(mean_ref), torch.zeros(3, dtype=F64))
        moved = mean.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(penalty(moved).sum(), moved)
        assert (gradient * (mean - mean_ref) > 0).all()


@pytest.mark.parametrize(
    "function",
    [
        lambda m: losses.gaussian_kl(m, rand(2, 3, 2, seed=1), torch.tensor([0.3, 0.9], dtype=F64)),
        lambda m: losses.velocity_kl(m, rand(2, 3, 2, seed=1)),
        lambda m: losses.flow_matching_loss(m, rand(2, 3, 2, seed=1), rand(2, 3, 2, seed=2))[0],
        lambda m: normalised(
            m, rand(2, 3, 2, seed=1), torch.tensor([0.3, 0.9], dtype=F64), rand(2, 3, 2, seed=2)
        ),
    ],
    ids=["gaussian_kl", "velocity_kl", "flow_matching", "ratio_norm"],
)
def test_gradients_are_the_numerical_ones(function) -> None:
    x = rand(2, 3, 2).requires_grad_()
    assert torch.autograd.gradcheck(function, x)


def test_flow_matching_is_zero_at_the_true_velocity_and_the_mse_elsewhere() -> None:
    v, x_0, eps = rand(3, 4, 5, 6)
    assert losses.flow_matching_loss(eps - x_0, x_0, eps)[0] == 0
    loss, metrics = losses.flow_matching_loss(v, x_0, eps)
    torch.testing.assert_close(loss, torch.nn.functional.mse_loss(v, eps - x_0))
    torch.testing.assert_close(metrics["velocity_error"], loss)
    assert losses.squared_error_rows(v, x_0, eps).mean().item() == pytest.approx(loss.item())


def test_flow_matching_weights_rows_without_normalising_them() -> None:
    v, x_0, eps = rand(3, 2, 5, 6)
    rows = losses.squared_error_rows(v, x_0, eps)
    loss, metrics = losses.flow_matching_loss(v, x_0, eps, torch.tensor([3.0, 0.5], dtype=F64))
    assert loss.item() == pytest.approx((3 * rows[0] + 0.5 * rows[1]).item() / 2)
    assert metrics["velocity_error"].item() == pytest.approx(rows.mean().item())


def test_half_precision_is_cast_up() -> None:
    v, x_0, eps = (z.bfloat16() for z in rand(3, 2, 5, 6))
    assert losses.flow_matching_loss(v, x_0, eps)[0].dtype == torch.float32
    assert losses.velocity_kl(v, x_0).dtype == torch.float32


def dpo_by_hand(
    rows: list[list[float]], beta: float, lose_weight: float = 1.0, sft_weight: float = 0.0
) -> float:
    total = 0.0
    for win, lose, win_ref, lose_ref in rows:
        inside = -beta / 2 * ((win - win_ref) - lose_weight * (lose - lose_ref))
        total += math.log1p(math.exp(-inside)) + sft_weight * win
    return total / len(rows)


PAIRS = [[0.20, 0.30, 0.21, 0.28], [0.50, 0.10, 0.45, 0.12], [0.33, 0.40, 0.33, 0.40]]


@pytest.mark.parametrize(("beta", "lose_weight", "sft_weight"), [(100, 1, 0), (2000, 0.5, 0), (10, 1, 0.3)])
def test_dpo_is_the_one_worked_out_by_hand(beta: float, lose_weight: float, sft_weight: float) -> None:
    win, lose, win_ref, lose_ref = torch.tensor(PAIRS, dtype=F64).unbind(1)
    loss, metrics = losses.diffusion_dpo_loss(win, lose, win_ref, lose_ref, beta, lose_weight, sft_weight)
    assert loss.item() == pytest.approx(dpo_by_hand(PAIRS, beta, lose_weight, sft_weight))
    assert metrics["accuracy"].item() == pytest.approx((1 + 0 + 0.5) / 3)
    assert metrics["win_error"].item() == pytest.approx((0.20 + 0.50 + 0.33) / 3)
    assert metrics["lose_error"].item() == pytest.approx((0.30 + 0.10 + 0.40) / 3)
    assert metrics["win_change"].item() == pytest.approx((-0.01 + 0.05) / 3)
    assert metrics["lose_change"].item() == pytest.approx((0.02 - 0.02) / 3)
    wanted = lose_weight * metrics["lose_change"] - metrics["win_change"]
    assert metrics["margin"].item() == pytest.approx(wanted.item())


def test_dpo_at_the_reference_is_log_two_and_undecided() -> None:
    win, lose = torch.rand(2, 5)
    loss, metrics = losses.diffusion_dpo_loss(win, lose, win, lose, 5000)
    assert loss.item() == pytest.approx(math.log(2))
    assert metrics["accuracy"] == 0.5
    assert metrics["margin"] == 0


def test_summed_errors_with_beta_over_the_dimensions_are_the_same_loss() -> None:
    velocities, x_0, eps = rand(4, 3, 8, 2), rand(3, 8, 2, seed=1), rand(3, 8, 2, seed=2)
    means = [losses.squared_error_rows(v, x_0, eps) for v in velocities]
    sums = [((v - (eps - x_0)) ** 2).sum((1, 2)) for v in velocities]
    by_mean, _ = losses.diffusion_dpo_loss(*means, beta=20.0)
    by_sum, _ = losses.diffusion_dpo_loss(*sums, beta=20.0 / 16)
    torch.testing.assert_close(by_mean, by_sum)


def test_dpo_gradient_lowers_the_winners_error_and_raises_the_losers() -> None:
    win, lose = torch.rand(2, 5, dtype=F64, requires_grad=True).unbind(0)
    reference = win.detach(), lose.detach()
    loss, _ = losses.diffusion_dpo_loss(win, lose, *reference, 100, lose_weight=0.25)
    of_win, of_lose = torch.autograd.grad(loss, (win, lose))
    assert (of_win > 0).all()
    torch.testing.assert_close(of_lose, -0.25 * of_win)


def test_dpo_survives_margins_that_overflow_an_exponential() -> None:
    big, small = torch.tensor([1e4], requires_grad=True), torch.tensor([0.0])
    loss, _ = losses.diffusion_dpo_loss(big, small, small, small, 5000)
    (gradient,) = torch.autograd.grad(loss, big)
    assert loss.isfinite()
    assert gradient.item() == pytest.approx(2500)


def test_dpo_gradients_are_the_numerical_ones() -> None:
    errors = rand(4, 3).abs().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda e: losses.diffusion_dpo_loss(e[0], e[1], e[2], e[3], 3.0, 0.7, 0.2)[0], errors
    )


@pytest.mark.parametrize("bad", [{"beta": 0.0}, {"lose_weight": 1.5}, {"sft_weight": -1.0}])
def test_bad_dpo_settings_are_named(bad: dict[str, float]) -> None:
    error = torch.ones(2)
    with pytest.raises(ValueError, match="beta, lose_weight, sft_weight"):
        losses.diffusion_dpo_loss(error, error, error, error, **{"beta": 1.0, **bad})
