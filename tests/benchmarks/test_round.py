"""The benchmark of a round, on an editor small enough for a test but built the way the full-size one is."""

from __future__ import annotations

import pytest
import torch

from benchmarks.counting import RandomEditor, matmul_peak
from benchmarks.full_size import FullSize, random_pipeline
from benchmarks.pictures import INSTRUCTIONS
from benchmarks.round import PHASES, Outcome, Workload, build, measure, report

TINY = FullSize(
    transformer={
        "num_layers": 1,
        "num_attention_heads": 2,
        "attention_head_dim": 32,
        "joint_attention_dim": 64,
        "axes_dims_rope": (8, 12, 12),
    },
    language={
        "vocab_size": 4096,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]},
    },
    vision={
        "depth": 1,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_heads": 2,
        "out_hidden_size": 64,
        "fullatt_block_indexes": [0],
    },
    vae={"base_dim": 8, "dim_mult": [1, 2, 2, 2], "num_res_blocks": 1},
)
WORK = Workload(prompts=2, group=2, steps=3, window=1, resolution=64, chunk=4, rows=2, checkpointing=True)
CPU = torch.device("cpu")


def test_the_full_size_is_that_of_the_published_editor() -> None:
    pipeline = random_pipeline(FullSize(), "meta", torch.bfloat16, INSTRUCTIONS)
    billions = {
        name: sum(p.numel() for p in getattr(pipeline, name).parameters()) / 1e9
        for name in ("transformer", "text_encoder", "vae")
    }
    assert billions == pytest.approx({"transformer": 20.43, "text_encoder": 8.29, "vae": 0.127}, rel=0.003)
    assert {p.dtype for p in pipeline.transformer.parameters()} == {torch.bfloat16}


@pytest.fixture(scope="module")
def outcomes() -> dict[float, Outcome]:
    module = build(RandomEditor(TINY, CPU, "bfloat16", WORK.resolution**2, INSTRUCTIONS), WORK)
    # Two rounds: they are of different tasks, and so do not log the same figures.
    return {cfg: measure(module, WORK, cfg, rounds=2, device=CPU, judge_seconds=0.05) for cfg in (1.0, 4.0)}


def test_the_phases_are_parts_of_the_round(outcomes: dict[float, Outcome]) -> None:
    for outcome in outcomes.values():
        assert set(outcome.seconds) == set(PHASES)
        assert outcome.seconds["update"] > 0
        assert 0.5 * outcome.round_s < sum(outcome.seconds.values()) <= outcome.round_s
        assert outcome.images == 4


def test_guidance_doubles_the_passes_and_no_more(outcomes: dict[float, Outcome]) -> None:
    plain, guided = outcomes[1.0].flops, outcomes[4.0].flops
    for phase in ("rollout", "update"):
        assert 1.5 < guided[phase] / plain[phase] < 2.0, phase  # the negative prompt is shorter
    assert guided["decode"] == plain["decode"]


def test_an_update_counts_backward_pass_and_recomputation(outcomes: dict[float, Outcome]) -> None:
    flops = outcomes[1.0].flops
    forward = flops["rollout"] / (WORK.prompts * WORK.group * WORK.steps)
    trained = WORK.prompts * WORK.group * WORK.window
    # Forward, recomputed forward, and the gradient of what a layer was given: frozen weights have none of their own.
    assert 2.5 < flops["update"] / trained / forward < 3.8


def test_the_report_has_a_row_for_each_guidance_and_says_what_it_costs(
    outcomes: dict[float, Outcome],
) -> None:
    text = report(outcomes, peak=1e12)
    assert "| 1 |" in text
    assert f"takes {outcomes[4.0].round_s / outcomes[1.0].round_s:.2f} times that with 1" in text


def test_the_peak_is_that_of_a_known_amount_of_work(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(100))
    monkeypatch.setattr("benchmarks.counting._now", lambda device: float(next(ticks)))
    assert matmul_peak(CPU, torch.float32) == 4 * 2 * 1024**3  # four products of 1024 x 1024 in a second
