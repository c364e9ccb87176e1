"""Group-relative advantages: how much better an edit is than its siblings, the other edits of its case.

Pure statistics over one round. On several ranks the caller gathers rewards and groups first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from hpedit.flow import at_least_fp32

AdvantageNorm = Literal["group", "batch", "none"]


@dataclass(frozen=True)
class GroupAdvantage:
    """Advantages of a round's N samples.

    Attributes:
        advantage: (N,), in the rewards' precision, at least float32; 0 where not alive.
        alive: (N,) bool, samples that carry gradient: scored, with at least one scored sibling, in a group
            whose standard deviation is above ``min_std``.
        stats: numbers for the log. zero_spread_share (of the groups: at least two scored samples, but no
            spread), failed_share (of the samples: no score), lone_share (of the samples: scored, but no
            sibling was), reward_mean and reward_std (over the scored samples), group_std_mean (over the
            groups with at least two of them). NaN where there was nothing to average.
    """

    advantage: Tensor
    alive: Tensor
    stats: dict[str, float]


def group_advantage(
    reward: Tensor,
    group: Tensor,
    *,
    norm: AdvantageNorm = "batch",
    clip: float | None = 5.0,
    min_std: float = 0.0,
    eps: float = 1e-4,
) -> GroupAdvantage:
    """Subtract the group's mean reward and divide by a standard deviation.

    Standard deviations are biased (divided by n), as in Flow-GRPO. A reward of NaN is missing data: it
    moves no mean and no deviation, and its sample gets advantage 0.

    Args:
        reward: (N,), NaN where the score could not be had.
        group: (N,) int64, equal for the samples of one case.
        norm: "group" divides by the group's standard deviation + eps, "batch" by that of all scored rewards
            of the round + eps, "none" by nothing.
        clip: the largest absolute advantage, None for no limit.
        min_std: groups whose standard deviation is not above this are left out.
        eps: added to the divisor.

    Raises ValueError for shapes that differ, no samples, infinite rewards or settings out of range.
    """
    _check(reward, group, clip, min_std)
    reward = at_least_fp32(reward)
    valid = ~reward.isnan()
    row = torch.unique(group, return_inverse=True)[1]
    num_groups = int(row.max()) + 1

    count = _group_sum(valid.to(reward.dtype), row, num_groups)
    centred = _centred(reward, valid, row, count)
    variance = _group_sum(centred.square(), row, num_groups) / count.clamp(min=1)
    std = variance.sqrt()
    paired = count >= 2
    alive = valid & (paired & (std > min_std))[row]

    scored = reward[valid]
    batch_std = scored.std(correction=0) if len(scored) else std.new_tensor(math.nan)
    advantage = centred / _divisor(norm, std[row], batch_std, eps)
    if clip is not None:
        advantage = advantage.clamp(-clip, clip)
    stats = {
        "zero_spread_share": (paired & (std <= min_std)).double().mean().item(),
        "failed_share": (~valid).double().mean().item(),
        "lone_share": (valid & (count == 1)[row]).double().mean().item(),
        "reward_mean": scored.mean().item(),
        "reward_std": batch_std.item(),
        "group_std_mean": std[paired].mean().item(),
    }
    return GroupAdvantage(torch.where(alive, advantage, 0.0), alive, stats)


def _centred(reward: Tensor, valid: Tensor, row: Tensor, count: Tensor) -> Tensor:
    """Return reward minus its group's mean over the valid samples, 0 where not valid.

    The group's lowest reward is taken off first, so that equal rewards give exactly 0 and not rounding.
    """
    lowest = torch.full_like(count, math.inf).scatter_reduce(0, row[valid], reward[valid], "amin")
    above = torch.where(valid, reward - lowest[row], 0.0)
    mean = _group_sum(above, row, len(count)) / count.clamp(min=1)
    return torch.where(valid, above - mean[row], 0.0)


def _group_sum(x: Tensor, row: Tensor, num_groups: int) -> Tensor:
    return torch.zeros(num_groups, dtype=x.dtype, device=x.device).index_add_(0, row, x)


def _divisor(norm: AdvantageNorm, group_std: Tensor, batch_std: Tensor, eps: float) -> Tensor:
    match norm:
        case "group":
            return group_std + eps
        case "batch":
            return batch_std + eps
        case "none":
            return torch.ones_like(batch_std)
        case _:
            raise ValueError(f"advantage norm: wanted 'group', 'batch' or 'none', got {norm!r}")


def _check(reward: Tensor, group: Tensor, clip: float | None, min_std: float) -> None:
    if reward.ndim != 1 or reward.shape != group.shape or len(reward) == 0:
        got = f"{tuple(reward.shape)} and {tuple(group.shape)}"
        raise ValueError(f"reward, group: wanted two (N,) tensors, N > 0, got {got}")
    if reward.isinf().any():
        raise ValueError(
            f"reward: wanted finite or NaN, got inf at sample {int(reward.isinf().nonzero()[0])}"
        )
    if clip is not None and clip <= 0:
        raise ValueError(f"advantage clip: wanted None or > 0, got {clip}")
    if min_std < 0:
        raise ValueError(f"min_std: wanted at least 0, got {min_std}")
