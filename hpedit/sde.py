"""One denoising step, t -> t_next < t: deterministic (Euler), or stochastic so that a policy can be trained.

Every stochastic kind is the Euler step that takes away a part k of the estimated noise and puts fresh noise
of standard deviation std in its place:

    x_next = x_t + (t_next - t) v - k eps_hat + std noise,    eps_hat = x_t + (1 - t) v

    flow_sde  k = s^2 (t - t_next) / (2 t), std = s sqrt(t - t_next), s = a sqrt(t / (1 - t))   paper eq. 6
    dance     the same with s = a at every t                                                   DanceGRPO
    cps       k = t_next (1 - cos(a pi / 2)), std = t_next sin(a pi / 2)                        Flow-CPS

which is eq. 6 rearranged, and for cps (1 - t_next) x0_hat + sqrt(t_next^2 - std^2) eps_hat rearranged.
The paper counts time the other way round (1 is its picture). Rollout and training call the same functions,
in float32 (float64 is kept). Shapes as in hpedit.types; times are (N,) or scalar, with 0 <= t_next < t.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from hpedit.flow import at_least_fp32, per_sample, velocity_to_eps

SDEKind = Literal["flow_sde", "cps", "dance"]


def euler_step(x_t: Tensor, v: Tensor, t: Tensor, t_next: Tensor) -> Tensor:
    """Return x_t + (t_next - t) v, (N, L, C), in the order of operations of diffusers' scheduler.

    Bit for bit the scheduler's step for a float32 velocity. (The scheduler multiplies a half-precision one in
    half precision; here it is cast up first.)
    """
    dt = per_sample(t_next, x_t) - per_sample(t, x_t)
    return at_least_fp32(x_t) + dt * at_least_fp32(v)


def step_mean_std(
    kind: SDEKind, x_t: Tensor, v: Tensor, t: Tensor, t_next: Tensor, noise_level: float
) -> tuple[Tensor, Tensor]:
    """Return mean (N, L, C) and standard deviation (N,) of the Gaussian that x_next is drawn from.

    With ``noise_level`` 0 they are exactly the Euler step and exactly 0. Finite at t = 1 and at t_next = 0.
    Raises ValueError for another kind, a negative noise level, or one above 1 for cps.
    """
    euler = euler_step(x_t, v, t, t_next)
    removed, std = _exchange(kind, t, t_next, noise_level)
    mean = euler - per_sample(removed, x_t) * velocity_to_eps(x_t, v, t)
    return mean, std.expand(x_t.shape[0])


def sample_step(
    kind: SDEKind, x_t: Tensor, v: Tensor, t: Tensor, t_next: Tensor, noise_level: float, noise: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return (x_next, mean, std) with x_next = mean + std noise; ``noise`` is standard normal, (N, L, C)."""
    mean, std = step_mean_std(kind, x_t, v, t, t_next, noise_level)
    return mean + per_sample(std, mean) * at_least_fp32(noise), mean, std


def gaussian_log_prob(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Return the log-density of x under N(mean, std^2), averaged over the latent dimensions, (N,).

    Constants are included. It is the joint log-density divided by L * C, so that a ratio formed of it does
    not depend on the resolution (and is far closer to 1 than the true one). Gradients flow to all three
    arguments. Raises ValueError where std is 0: a deterministic step has no density.
    """
    require_noise(std)
    mean = at_least_fp32(mean)
    z = (at_least_fp32(x) - mean) / per_sample(std, mean)
    return -0.5 * z.square().flatten(1).mean(1) - at_least_fp32(std).log() - 0.5 * math.log(2 * math.pi)


def marginal_std(kind: SDEKind, t: Tensor, t_next: Tensor, noise_level: float) -> Tensor:
    """Return the noise left in x_next, sqrt((t_next - k)^2 + std^2), in the shape of the times.

    It holds when the velocity is exact, v = eps - x_0: then x_next = (1 - t_next) x_0 + noise of this
    standard deviation. t_next is what the next step expects: cps gives just that, flow_sde and dance more
    (to first order in the step). With the posterior-mean velocity of spread-out data it is the other way
    round: many small flow_sde steps end at the data's spread, cps steps shrink it.
    """
    removed, std = _exchange(kind, t, t_next, noise_level)
    return torch.hypot(at_least_fp32(t_next) - removed, std)


def require_noise(std: Tensor) -> None:
    """Raise ValueError unless every standard deviation (N,) is positive."""
    if not bool((std > 0).all()):
        raise ValueError(f"std: a density needs stochastic steps, wanted > 0, got {std.min().item()}")


def _exchange(kind: SDEKind, t: Tensor, t_next: Tensor, noise_level: float) -> tuple[Tensor, Tensor]:
    """Return the part k of the estimated noise that is taken away, and the std of the fresh noise."""
    t, t_next = at_least_fp32(t), at_least_fp32(t_next)
    if noise_level < 0 or (kind == "cps" and noise_level > 1):
        wanted = "in [0, 1]" if kind == "cps" else "at least 0"
        raise ValueError(f"noise_level: wanted {wanted} for {kind}, got {noise_level}")
    match kind:
        case "flow_sde":
            # At t = 1 the coefficient diverges; the next sigma stands in, in the denominator only.
            rate = noise_level**2 / (1 - torch.where(t == 1, t_next, t))
            return rate * (t - t_next) / 2, (rate * t * (t - t_next)).sqrt()
        case "dance":
            rate = noise_level**2 * (t - t_next)
            return rate / (2 * t), rate.sqrt()
        case "cps":
            angle = noise_level * math.pi / 2
            return t_next * (1 - math.cos(angle)), t_next * math.sin(angle)
        case _:
            raise ValueError(f"sde kind: wanted 'flow_sde', 'cps' or 'dance', got {kind!r}")
