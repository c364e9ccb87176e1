"""What is minimised: the clipped surrogate and its penalties, flow matching, Diffusion-DPO.

Losses return (scalar, metrics); metrics are detached scalars. Penalties return one number a row, (N,),
averaged over the latent dimensions, for ``weighted_mean`` to reduce. Half precision is cast up to float32,
float64 is kept.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from hpedit.flow import at_least_fp32, target_velocity
from hpedit.sde import require_noise

Metrics = dict[str, Tensor]


def weighted_mean(rows: Tensor, weight: Tensor, denominator: float) -> Tensor:
    """Return sum(weight * rows) / denominator; rows of weight 0 count for nothing, not even when NaN.

    ``denominator`` is given, not sum(weight), so that micro-batches and ranks add up to one batch.
    """
    rows = at_least_fp32(rows).masked_fill(weight == 0, 0.0)
    return (weight * rows).sum() / denominator


def clipped_surrogate(
    log_ratio: Tensor,
    advantage: Tensor,
    weight: Tensor,
    *,
    clip_low: float,
    clip_high: float,
    denominator: float,
    dims: int = 1,
) -> tuple[Tensor, Metrics]:
    """PPO's clipped surrogate for ratios r and advantages A, summed over M rows and divided.

    sum(weight max(-A r, -A clamp(r, 1 - clip_low, 1 + clip_high))) / denominator.

    Args:
        log_ratio: (M,), log r; of log-probabilities averaged over the latent dimensions (hence clips near
            1e-4), or of ``ratio_norm_log_ratio``.
        advantage: (M,).
        weight: (M,); 0 takes a row out of the loss, its gradient and the metrics.
        clip_low: how far below 1 the ratio still has a gradient where the advantage is negative.
        clip_high: how far above 1 the ratio still has a gradient where the advantage is positive.
        denominator: what the sum is divided by.
        dims: D, the latent dimensions that the log-probabilities were averaged over; for approx_kl alone.

    Metrics, over the rows of weight > 0: ratio_mean, ratio_min, ratio_max; clip_low_share and
    clip_high_share, the rows that lost their gradient on that side; approx_kl, D times the mean of
    log_ratio^2 / 2: to second order the KL to the policy that sampled, per latent dimension as ``gaussian_kl``
    (exact forms lose all digits at these ratios; a mean over D dimensions has a D-th of their variance). With no
    such row they read as if nothing had moved.
    """
    log_ratio = at_least_fp32(log_ratio).masked_fill(weight == 0, 0.0)
    ratio = log_ratio.exp()
    clamped = ratio.clamp(1 - clip_low, 1 + clip_high)
    loss = weighted_mean(torch.maximum(-advantage * ratio, -advantage * clamped), weight, denominator)
    with torch.no_grad():
        counted = weight > 0
        cut_low = (advantage < 0) & (ratio < 1 - clip_low)
        cut_high = (advantage > 0) & (ratio > 1 + clip_high)
        r = ratio[counted] if counted.any() else torch.ones_like(ratio[:1])
        share = counted / counted.sum().clamp(min=1)
        metrics = {
            "ratio_mean": r.mean(),
            "ratio_min": r.min(),
            "ratio_max": r.max(),
            "clip_low_share": (share * cut_low).sum(),
            "clip_high_share": (share * cut_high).sum(),
            "approx_kl": dims * (share * log_ratio.square() / 2).sum(),
        }
    return loss, metrics


def ratio_norm_log_ratio(
    log_prob: Tensor, log_prob_old: Tensor, mean: Tensor, mean_old: Tensor, std: Tensor
) -> Tensor:
    """GRPO-Guard's normalised log-ratio, (M,), for ``clipped_surrogate``.

    std (log_prob - log_prob_old) + mean_dims((mean - mean_old)^2) / (2 std). With x_next = mean_old + std z
    this is mean_dims(z (mean - mean_old)): it averages 0 over z, where the plain log-ratio averages below
    0, and its size does not depend on the step's std, so that one clip suits all steps.

    ``std`` is the whole standard deviation of the step, sqrt(-dt) included. Every row has its own std and
    its own bias (the published code averages both over the batch). The published 1 / |dt| on the loss is
    not in here: a caller who wants it multiplies ``weight`` by 1 / (t - t_next).

    Args:
        log_prob, log_prob_old: (M,), averaged over the latent dimensions, constants included or not.
        mean, mean_old: (M, L, C) of the policy being trained and of the one that sampled.
        std: (M,).
    """
    require_noise(std)
    std = at_least_fp32(std)
    difference = at_least_fp32(log_prob) - at_least_fp32(log_prob_old)
    return std * difference + _mean_square(mean, mean_old) / (2 * std)


def gaussian_kl(mean: Tensor, mean_ref: Tensor, std: Tensor) -> Tensor:
    """Return the exact KL(N(mean, std^2) || N(mean_ref, std^2)) per latent dimension, (N,).

    mean_dims((mean - mean_ref)^2) / (2 std^2), std the whole standard deviation of the step. Raises
    ValueError where std is 0.
    """
    require_noise(std)
    return _mean_square(mean, mean_ref) / (2 * at_least_fp32(std).square())


def gaussian_kl_per_dt(mean: Tensor, mean_ref: Tensor, std: Tensor, dt: Tensor) -> Tensor:
    """Return |dt| times ``gaussian_kl``, (N,): the form of Flow-GRPO's public code, whose weights assume it.

    There the square is divided by 2 s^2 with s the std without its sqrt(-dt), so that the KL of a step
    goes as dt^2, the exact one as dt. ``dt`` is (N,) or scalar, of either sign. (For
    cps, whose std has no sqrt(-dt), that code computes ``gaussian_kl``.)
    """
    return at_least_fp32(dt).abs() * gaussian_kl(mean, mean_ref, std)


def velocity_kl(v: Tensor, v_ref: Tensor) -> Tensor:
    """Return mean_dims((v - v_ref)^2), (N,); unlike the Gaussian ones it exists for deterministic steps."""
    return _mean_square(v, v_ref)


def squared_error_rows(v: Tensor, x_0: Tensor, eps: Tensor) -> Tensor:
    """Return the squared error of v against eps - x_0, averaged over the latent dimensions, (B,)."""
    return _mean_square(v, target_velocity(x_0, eps))


def flow_matching_loss(
    v: Tensor, x_0: Tensor, eps: Tensor, weight: Tensor | None = None
) -> tuple[Tensor, Metrics]:
    """Mean squared error of the velocity, v, x_0, eps (B, L, C).

    ``weight`` (B,) multiplies the rows before the mean over B; it is not normalised to sum to B. The metric
    velocity_error is the mean without it.
    """
    rows = squared_error_rows(v, x_0, eps)
    loss = rows.mean() if weight is None else (weight * rows).mean()
    return loss, {"velocity_error": rows.detach().mean()}


def diffusion_dpo_loss(
    err_w: Tensor,
    err_l: Tensor,
    err_w_ref: Tensor,
    err_l_ref: Tensor,
    beta: float,
    lose_weight: float = 1.0,
    sft_weight: float = 0.0,
) -> tuple[Tensor, Metrics]:
    """Diffusion-DPO for flows: the mean of -log sigmoid(beta / 2 margin), plus an anchor on the winner.

    margin = lose_weight (err_l - err_l_ref) - (err_w - err_w_ref): how much more the policy has moved
    towards the winner than towards the loser. The errors come from ``squared_error_rows``, MEANS over the D
    = L * C dimensions, with one noise and one time shared by the pair and by the reference. An
    implementation that sums over the dimensions needs beta / D for the same loss: 5000 here is 0.076 there
    at D = 65536.

    Args:
        err_w, err_l: (B,), the policy's errors on the preferred and the rejected edit.
        err_w_ref, err_l_ref: (B,), the reference's.
        beta: strength, on the scale of mean errors; 100 to 5000 are in use.
        lose_weight: in [0, 1]; below 1 it keeps the margin from growing by forgetting both edits.
        sft_weight: weight of the mean of err_w added to the loss.

    Metrics: margin; accuracy, the share of positive margins, 0 counted as half; win_error, lose_error, the
    policy's mean errors; win_change, lose_change, the same less the reference's. A win_change that rises
    while the margin grows says that the winner is being unlearned.
    Raises ValueError for beta <= 0, lose_weight outside [0, 1] or sft_weight < 0.
    """
    if beta <= 0 or not 0 <= lose_weight <= 1 or sft_weight < 0:
        raise ValueError(
            "beta, lose_weight, sft_weight: wanted > 0, in [0, 1] and at least 0, "
            f"got {beta}, {lose_weight} and {sft_weight}"
        )
    win_change = at_least_fp32(err_w) - at_least_fp32(err_w_ref)
    lose_change = at_least_fp32(err_l) - at_least_fp32(err_l_ref)
    margin = lose_weight * lose_change - win_change
    loss = -F.logsigmoid(beta / 2 * margin).mean() + sft_weight * at_least_fp32(err_w).mean()
    metrics = {
        "margin": margin.mean(),
        "accuracy": (margin.sign().mean() + 1) / 2,
        "win_error": err_w.mean(),
        "lose_error": err_l.mean(),
        "win_change": win_change.mean(),
        "lose_change": lose_change.mean(),
    }
    return loss, {name: value.detach() for name, value in metrics.items()}


def _mean_square(a: Tensor, b: Tensor) -> Tensor:
    """Return the squared difference averaged over all but the first dimension, (N,)."""
    return (at_least_fp32(a) - at_least_fp32(b)).square().flatten(1).mean(1)
