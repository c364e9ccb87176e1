"""Rectified flow: the straight path between picture and noise, and the grid of times walked along it.

Time is t = sigma in [0, 1]: 1 is noise, 0 is the picture, x_t = (1 - t) x_0 + t eps, v = eps - x_0.
Shapes as in hpedit.types: latents are (N, L, C), times (N,) or scalar. Half precision is cast up to
float32, float64 is kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor

TimeShiftType = Literal["exponential", "linear"]
TimeDistribution = Literal["uniform", "logit_normal"]

_CONFIG_KEYS = {
    "use_dynamic_shifting": "use_dynamic_shifting",
    "shift": "shift",
    "base_tokens": "base_image_seq_len",
    "max_tokens": "max_image_seq_len",
    "base_shift": "base_shift",
    "max_shift": "max_shift",
    "shift_terminal": "shift_terminal",
    "time_shift_type": "time_shift_type",
}
_UNSUPPORTED_SWITCHES = (
    "use_karras_sigmas",
    "use_exponential_sigmas",
    "use_beta_sigmas",
    "invert_sigmas",
    "stochastic_sampling",
)


def at_least_fp32(x: Tensor) -> Tensor:
    """Cast up to float32; float32 and float64 pass unchanged."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def per_sample(t: Tensor, x: Tensor) -> Tensor:
    """Shape t, (N,) or scalar, so that it broadcasts over the latents x (N, ...); cast up to float32.

    Raises ValueError if t is of another shape: silent broadcasting would mix samples.
    """
    if t.ndim > 1 or (t.ndim == 1 and t.shape[0] not in (1, x.shape[0])):
        raise ValueError(f"t: wanted a scalar or shape ({x.shape[0]},), got {tuple(t.shape)}")
    return at_least_fp32(t).reshape(t.shape + (1,) * (x.ndim - t.ndim))


def interpolate(x_0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
    """Return x_t = (1 - t) x_0 + t eps, (N, L, C)."""
    t = per_sample(t, x_0)
    return (1 - t) * at_least_fp32(x_0) + t * at_least_fp32(eps)


def target_velocity(x_0: Tensor, eps: Tensor) -> Tensor:
    """Return the velocity v = eps - x_0 of the path from x_0 to eps, (N, L, C)."""
    return at_least_fp32(eps) - at_least_fp32(x_0)


def velocity_to_x0(x_t: Tensor, v: Tensor, t: Tensor) -> Tensor:
    """Return the picture that v points away from, x_0 = x_t - t v, (N, L, C)."""
    return at_least_fp32(x_t) - per_sample(t, x_t) * at_least_fp32(v)


def velocity_to_eps(x_t: Tensor, v: Tensor, t: Tensor) -> Tensor:
    """Return the noise that v points to, eps = x_t + (1 - t) v, (N, L, C)."""
    return at_least_fp32(x_t) + (1 - per_sample(t, x_t)) * at_least_fp32(v)


@dataclass(frozen=True)
class SigmaSchedule:
    """How a model's scheduler spaces its sigmas; the defaults are those of diffusers.

    Args:
        use_dynamic_shifting: shift by the number of latent tokens, not by the constant ``shift``.
        shift: constant time shift; 1 leaves the sigmas evenly spaced.
        base_tokens: number of latent tokens at which the dynamic shift is ``base_shift``.
        max_tokens: number of latent tokens at which the dynamic shift is ``max_shift``.
        base_shift: dynamic shift at ``base_tokens``.
        max_shift: dynamic shift at ``max_tokens``.
        shift_terminal: the sigma before 0 that the grid is stretched to; None for no stretching.
        time_shift_type: "exponential" (the odds of sigma times e^mu) or "linear" (the odds times mu).
    """

    use_dynamic_shifting: bool = False
    shift: float = 1.0
    base_tokens: int = 256
    max_tokens: int = 4096
    base_shift: float = 0.5
    max_shift: float = 1.15
    shift_terminal: float | None = None
    time_shift_type: TimeShiftType = "exponential"

    def __post_init__(self) -> None:
        if self.shift <= 0:
            raise ValueError(f"shift: wanted > 0, got {self.shift}")
        if self.base_tokens == self.max_tokens:
            raise ValueError(f"base_tokens, max_tokens: wanted two numbers, got {self.base_tokens} twice")
        if self.shift_terminal is not None and not 0 <= self.shift_terminal < 1:
            raise ValueError(f"shift_terminal: wanted None or [0, 1), got {self.shift_terminal}")
        if self.time_shift_type not in ("exponential", "linear"):
            raise ValueError(
                f"time_shift_type: wanted 'exponential' or 'linear', got {self.time_shift_type!r}"
            )

    @classmethod
    def from_scheduler_config(cls, config: Mapping[str, Any]) -> Self:
        """Read the config of a diffusers FlowMatchEulerDiscreteScheduler.

        Raises ValueError for another scheduler, and for switches whose grids are not reproduced here.
        """
        name = config.get("_class_name", "FlowMatchEulerDiscreteScheduler")
        if name != "FlowMatchEulerDiscreteScheduler":
            raise ValueError(f"scheduler: wanted FlowMatchEulerDiscreteScheduler, got {name}")
        for switch in _UNSUPPORTED_SWITCHES:
            if config.get(switch):
                raise ValueError(f"scheduler config: {switch} is not supported, wanted False, got True")
        found = {field: config.get(key) for field, key in _CONFIG_KEYS.items()}
        return cls(**{field: value for field, value in found.items() if value is not None})


def resolution_mu(
    num_tokens: int,
    base_tokens: int = 256,
    max_tokens: int = 4096,
    base_shift: float = 0.5,
    max_shift: float = 1.15,
) -> float:
    """Return the shift mu for an edit of ``num_tokens`` latent tokens (those of the references not counted).

    The straight line through (base_tokens, base_shift) and (max_tokens, max_shift), not clamped outside.
    """
    # In diffusers' order of operations: another rounding of mu would move every sigma.
    slope = (max_shift - base_shift) / (max_tokens - base_tokens)
    return num_tokens * slope + (base_shift - slope * base_tokens)


def sigma_grid(num_steps: int, num_tokens: int, schedule: SigmaSchedule) -> Tensor:
    """Return the (num_steps + 1,) float32 sigmas from 1 down to 0 of an edit of ``num_tokens`` tokens.

    Evenly spaced from 1 to 1 / num_steps, shifted, stretched to ``shift_terminal``, 0 appended: bit for bit
    what diffusers' FlowMatchEulerDiscreteScheduler gives for the sigmas its pipelines pass. One step is
    the exception: diffusers stretches the single sigma 1 to NaN, here it stays 1.
    Raises ValueError if num_steps < 1.
    """
    if num_steps < 1:
        raise ValueError(f"num_steps: wanted at least 1, got {num_steps}")
    sigmas = np.linspace(1.0, 1 / num_steps, num_steps).astype(np.float32)
    sigmas = _shift(sigmas, num_tokens, schedule)
    if schedule.shift_terminal and num_steps > 1:
        sigmas = _stretch(sigmas, schedule.shift_terminal)
    return torch.cat([torch.from_numpy(sigmas), torch.zeros(1)])


def _shift(sigmas: np.ndarray, num_tokens: int, schedule: SigmaSchedule) -> np.ndarray:
    if not schedule.use_dynamic_shifting:
        return schedule.shift * sigmas / (1 + (schedule.shift - 1) * sigmas)
    mu = resolution_mu(
        num_tokens, schedule.base_tokens, schedule.max_tokens, schedule.base_shift, schedule.max_shift
    )
    factor = math.exp(mu) if schedule.time_shift_type == "exponential" else mu
    return factor / (factor + (1 / sigmas - 1))


def _stretch(sigmas: np.ndarray, terminal: float) -> np.ndarray:
    """Scale the distances from 1 so that the last sigma is ``terminal``."""
    distance = 1 - sigmas
    return 1 - distance / (distance[-1] / (1 - terminal))


def sample_training_time(
    num: int,
    kind: TimeDistribution,
    generator: torch.Generator | None,
    mean: float = 0.0,
    std: float = 1.0,
    shift: float = 1.0,
) -> Tensor:
    """Draw ``num`` training times in [0, 1], (num,) float32 on the generator's device.

    ``mean`` and ``std`` are those of the logit of t ("logit_normal" only); ``shift`` then multiplies the odds
    of t, as the static shift of a sampling grid does (e^mu gives the resolution-dependent one).
    Raises ValueError for another kind, std <= 0 or shift <= 0.
    """
    if std <= 0 or shift <= 0:
        raise ValueError(f"training time: wanted std > 0 and shift > 0, got std {std} and shift {shift}")
    device = generator.device if generator is not None else None
    match kind:
        case "uniform":
            t = torch.rand(num, generator=generator, device=device)
        case "logit_normal":
            t = torch.sigmoid(mean + std * torch.randn(num, generator=generator, device=device))
        case _:
            raise ValueError(f"training time: wanted 'uniform' or 'logit_normal', got {kind!r}")
    return shift * t / (1 + (shift - 1) * t)
