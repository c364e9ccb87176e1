"""Sampling with an editor whose velocity is known in closed form."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from hpedit.sampling import EvalSettings, edit_cases, sample_trajectory
from hpedit.types import EditBatch, Guidance
from tests.support.goal_editor import Goal, GoalEditor, grey_batch

SIGMAS = torch.tensor([1.0, 0.8, 0.5, 0.2, 0.0])
SHAPE = (3, 2)  # of GoalEditor's latents at 4 x 4 pixels


def noise(n: int, seed: int = 0) -> Tensor:
    return torch.randn(n, *SHAPE, generator=torch.Generator().manual_seed(seed))


def walk(window: range = range(0), noise_level: float = 0.7, n: int = 2) -> Any:
    steps = [noise(n, 10 + i) for i in window]
    goal = Goal(torch.full((n, *SHAPE), 0.25))
    return sample_trajectory(
        GoalEditor(),
        goal,
        noise(n),
        SIGMAS,
        Guidance(),
        noise_level=noise_level,
        window=window,
        step_noise=steps,
    )


def test_without_a_window_the_path_is_the_straight_line_to_the_goal():
    trajectory = walk()
    assert torch.allclose(trajectory.x_0, torch.full((2, *SHAPE), 0.25), atol=1e-6)
    assert trajectory.steps == []


def test_the_network_is_asked_once_a_step_at_the_step_s_own_time():
    editor = GoalEditor()
    guidance = Guidance(true_cfg=2.0)
    sample_trajectory(editor, Goal(torch.zeros(1, *SHAPE)), noise(1), SIGMAS, guidance)
    assert editor.asked == [(float(t), guidance) for t in SIGMAS[:-1]]


def test_stochastic_steps_are_those_of_the_window_and_join_up():
    steps = walk(range(1, 3)).steps
    times = SIGMAS.tolist()
    assert [(s.index, s.t, s.t_next) for s in steps] == [(1, *times[1:3]), (2, *times[2:4])]
    assert torch.equal(steps[0].x_next, steps[1].x_t)


def test_the_stored_log_probability_is_of_the_stored_tensors():
    """Flow-SDE in float64, from the paper's formulas; the log-probability is averaged over the latent's dimensions."""
    for step in walk(range(0, 3)).steps:
        t, t_next, x = step.t, step.t_next, step.x_t.double()
        v = (x - 0.25) / t
        s = 0.7 * math.sqrt(t / (1 - (t_next if t == 1 else t)))
        dt = t_next - t
        mean = x * (1 + s**2 * dt / (2 * t)) + v * (1 + s**2 * (1 - t) / (2 * t)) * dt
        normal = torch.distributions.Normal(mean, s * math.sqrt(-dt))
        expected = normal.log_prob(step.x_next.double()).mean((1, 2))
        assert torch.allclose(step.log_prob.double(), expected, atol=1e-6)


def test_a_row_of_a_step_owns_its_memory():
    step = walk(range(0, 1)).steps[0]
    row = step.row(1, keep_mean=False)
    step.x_t.zero_()
    assert torch.equal(row.x_t, noise(2)[1])
    assert row.mean is None
    assert step.row(1, keep_mean=True).mean is not None


def test_an_evaluation_ends_at_the_goal_of_every_case():
    edits = edit_cases(GoalEditor(), grey_batch(0.2, 0.6), EvalSettings(num_steps=3), torch.device("cpu"))
    assert edits.case_row == [0, 1]
    assert torch.allclose(edits.images[:, 0, 0, 0], torch.tensor([0.2, 0.6]), atol=1e-6)


def test_several_samples_of_a_case_follow_each_other_and_start_apart():
    starts = _starts(grey_batch(0.2, 0.6), EvalSettings(num_steps=1, samples_per_case=2))
    assert len(starts) == 4
    assert not any(torch.equal(starts[i], starts[j]) for i in range(4) for j in range(i))


def test_a_case_starts_from_its_own_noise_whatever_the_batch():
    settings = EvalSettings(num_steps=1)
    together = _starts(grey_batch(0.2, 0.6), settings)
    alone = _starts(grey_batch(0.6), settings)
    assert torch.equal(together[1], alone[0])
    assert not torch.equal(alone[0], _starts(grey_batch(0.6), EvalSettings(num_steps=1, seed=1))[0])


@pytest.mark.parametrize("true_cfg", [1.0, 4.0])
def test_the_negative_prompt_is_encoded_only_where_guidance_needs_it(true_cfg: float):
    editor = GoalEditor()
    edit_cases(editor, grey_batch(0.5), EvalSettings(num_steps=1, true_cfg=true_cfg), torch.device("cpu"))
    assert editor.negatives == [true_cfg > 1]


def _starts(batch: EditBatch, settings: EvalSettings) -> Tensor:
    seen: list[Tensor] = []

    class Watched(GoalEditor):
        def velocity(self, x_t: Tensor, t: Tensor, cond: Goal, guidance: Guidance) -> Tensor:
            seen.append(x_t.clone())
            return super().velocity(x_t, t, cond, guidance)

    edit_cases(Watched(), batch, settings, torch.device("cpu"))
    return seen[0]
