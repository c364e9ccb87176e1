"""Sampling edits: one loop over the denoising steps, for rollouts, validation and prediction alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hpedit.editors.base import Editor
from hpedit.noise import keyed_noise
from hpedit.sde import SDEKind, euler_step, gaussian_log_prob, sample_step
from hpedit.types import Conditioning, EditBatch, EditedBatch, Guidance


@dataclass
class SDEStep:
    """One stochastic step of n samples, as training needs it.

    Attributes:
        x_t, x_next: (n, L, C) float32; mean likewise.
        log_prob: (n,) mean over the latent dimensions.
    """

    index: int
    t: float
    t_next: float
    x_t: Tensor
    x_next: Tensor
    mean: Tensor | None
    log_prob: Tensor

    def row(self, i: int, keep_mean: bool) -> SDEStep:
        """Return the step of sample ``i`` alone, in memory of its own; the mean only if it is asked for."""
        mean = self.mean[i].clone() if keep_mean and self.mean is not None else None
        x_t, x_next = self.x_t[i].clone(), self.x_next[i].clone()
        return replace(self, x_t=x_t, x_next=x_next, mean=mean, log_prob=self.log_prob[i])


@dataclass
class Trajectory:
    """n samples walked from noise to latents x_0 (n, L, C), with their stochastic steps in order."""

    x_0: Tensor
    steps: list[SDEStep]


@torch.no_grad()
def sample_trajectory(
    editor: Editor,
    cond: Conditioning,
    noise: Tensor,
    sigmas: Tensor,
    guidance: Guidance,
    *,
    sde: SDEKind = "flow_sde",
    noise_level: float = 0.0,
    window: range = range(0),
    step_noise: Sequence[Tensor] = (),
) -> Trajectory:
    """Walk n samples down the sigmas: stochastic inside ``window``, along the ODE outside.

    Args:
        editor: The policy.
        cond: Collated conditioning of the n samples.
        noise: (n, L, C) float32 start at t = 1.
        sigmas: (T + 1,) float32 from 1 to 0.
        guidance: Guidance of every step.
        sde: The stochastic step.
        noise_level: Its noise level a.
        window: Indices of the stochastic steps.
        step_noise: One (n, L, C) standard normal tensor for each step of ``window``.

    Everything but the network is float32, so what is stored is exactly what the log-probability was taken of.
    """
    x_t, steps = noise, []
    for i in range(len(sigmas) - 1):
        t, t_next = sigmas[i], sigmas[i + 1]
        rows = torch.full((x_t.shape[0],), float(t), device=x_t.device)
        v = editor.velocity(x_t, rows, cond, guidance)
        if i not in window:
            x_t = euler_step(x_t, v, t.to(x_t.device), t_next.to(x_t.device))
            continue
        rows_next = torch.full_like(rows, float(t_next))
        eps = step_noise[i - window.start].to(x_t.device)
        x_next, mean, std = sample_step(sde, x_t, v, rows, rows_next, noise_level, eps)
        log_prob = gaussian_log_prob(x_next, mean, std)
        steps.append(SDEStep(i, float(t), float(t_next), x_t, x_next, mean, log_prob))
        x_t = x_next
    return Trajectory(x_t, steps)


@dataclass(frozen=True)
class EvalSettings:
    """How edits are sampled for validation, test and prediction: always along the ODE.

    Attributes:
        num_steps: Denoising steps.
        true_cfg: Classifier-free guidance scale; 1 switches it off.
        embedded_guidance: Scale for a guidance-distilled model (FLUX.1-Kontext); null where the model has none.
        samples_per_case: Edits of each case; the score is the mean over them.
        seed: Seed of the initial noise, which depends on nothing else but the case and the sample.
    """

    num_steps: int = 40
    true_cfg: float = 1.0
    embedded_guidance: float | None = None
    samples_per_case: int = 1
    seed: int = 0

    @property
    def guidance(self) -> Guidance:
        return Guidance(self.true_cfg, self.embedded_guidance)


def edit_cases(
    editor: Editor, batch: EditBatch, settings: EvalSettings, device: torch.device, seed: int | None = None
) -> EditedBatch:
    """Edit every case of a batch ``samples_per_case`` times, without noise on the way."""
    seed = settings.seed if seed is None else seed
    rows = [b for b in range(len(batch)) for _ in range(settings.samples_per_case)]
    shape = editor.latent_shape(batch.size)
    noise = torch.stack(
        [
            keyed_noise(shape, "eval", seed, batch.case_id[b], i % settings.samples_per_case)
            for i, b in enumerate(rows)
        ]
    )
    editor.place(device)
    encoded = editor.encode(batch, negative=settings.guidance.needs_negative)
    cond = editor.collate([encoded[b] for b in rows]).to(device)
    sigmas = editor.sigmas(settings.num_steps, batch.size)
    x_0 = sample_trajectory(editor, cond, noise.to(device), sigmas, settings.guidance).x_0
    return EditedBatch(batch, rows, editor.decode(x_0, batch.size))
