"""Diffusion-DPO on the tiny editor."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from hpedit.modules.dpo import DPOModule
from hpedit.sampling import EvalSettings
from tests.modules import support


def brisk(params: Any) -> torch.optim.AdamW:
    return torch.optim.AdamW(params, lr=1e-2, weight_decay=0.0)


def module(checkpoint: str, lora: Any = support.LORA, **settings: Any) -> DPOModule:
    return DPOModule(
        support.tiny_editor(checkpoint),
        lora,
        optimizer=brisk,
        eval=EvalSettings(num_steps=1),
        **settings,
    )


class Figures(support.pl.Callback):
    def __init__(self) -> None:
        self.values: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        self.values.append({name: float(value) for name, value in trainer.callback_metrics.items()})

    def mean(self, name: str, part: slice) -> float:
        values = [figures[f"train/{name}"] for figures in self.values[part]]
        return sum(values) / len(values)


def test_it_learns_which_edit_of_a_pair_is_better(checkpoint: str):
    dpo, figures = module(checkpoint), Figures()
    base = {name: p.clone() for name, p in _frozen(dpo).items()}
    support.trainer(24, [figures]).fit(dpo, support.batches([support.pairs(0, 2)]))
    first, last = slice(0, 4), slice(-8, None)
    assert figures.values[0]["train/margin"] == 0, "policy and reference are the same at first"
    assert figures.values[0]["train/loss"] == pytest.approx(0.6931, abs=1e-4)
    assert figures.mean("margin", last) > figures.mean("margin", first) + 1e-3
    assert figures.mean("accuracy", last) == 1
    assert figures.mean("loss", last) < 0.5 * figures.mean("loss", first)
    assert all(torch.equal(p, base[name]) for name, p in _frozen(dpo).items())


def test_a_frozen_copy_is_the_reference_of_all_weights(checkpoint: str):
    dpo = module(checkpoint, lora=None)
    dpo.configure_model()
    assert dpo.policy is not None
    assert dpo.policy.frozen_copy is not None
    copy = {name: p.clone() for name, p in dpo.policy.frozen_copy.named_parameters()}
    figures = Figures()
    support.trainer(6, [figures]).fit(dpo, support.batches([support.pairs(0, 2)]))
    assert figures.values[0]["train/margin"] == 0
    assert figures.values[-1]["train/win_change"] != 0
    assert all(torch.equal(p, copy[name]) for name, p in dpo.policy.frozen_copy.named_parameters())


def test_noise_and_time_are_shared_by_a_pair_and_by_the_reference(
    checkpoint: str, monkeypatch: pytest.MonkeyPatch
):
    dpo = module(checkpoint)
    dpo.configure_model()
    asked: list[tuple[Tensor, Tensor]] = []
    velocity = dpo.editor.velocity

    def watched(x_t: Tensor, t: Tensor, *rest: Any) -> Tensor:
        asked.append((x_t, t))
        return velocity(x_t, t, *rest)

    monkeypatch.setattr(dpo.editor, "velocity", watched)
    batch = support.pairs(0, 3)
    _train_one(dpo, batch)
    (x_t, t), (x_ref, t_ref) = asked
    assert torch.equal(x_t, x_ref)
    assert torch.equal(t, t_ref)
    assert torch.equal(t[:3], t[3:])
    assert len(set(t[:3].tolist())) == 3
    x_0 = dpo.editor.encode_target(torch.cat([batch.preferred, batch.rejected]))
    scale = t[:, None, None]
    eps = (x_t - (1 - scale) * x_0) / scale
    assert torch.allclose(eps[:3], eps[3:], atol=1e-4)
    assert abs(float(eps.std()) - 1) < 0.1


def test_draws_differ_by_batch_and_are_the_same_in_a_second_run(checkpoint: str):
    losses = []
    for _ in range(2):
        dpo, figures = module(checkpoint, sft_weight=1.0), Figures()
        support.trainer(1, [figures]).fit(dpo, support.batches([support.pairs(0, 2)] * 2))
        losses.append([f["train/win_error"] for f in figures.values])
    assert losses[0] == losses[1]
    assert abs(losses[0][0] - losses[0][1]) > 1e-3


@pytest.mark.parametrize("batch", [support.cases(0, 2), support.pairs(0, 2)])
def test_validation_edits_cases_and_the_cases_of_pairs(checkpoint: str, batch: Any):
    dpo = module(checkpoint)
    dpo.configure_model()
    edits = dpo.validation_step(batch, 0)
    assert edits.cases.case_id == ["case0", "case1"]
    assert edits.images.shape == (2, 3, 64, 64)


def _train_one(dpo: DPOModule, batch: Any) -> None:
    support.trainer(1, []).fit(dpo, support.batches([batch]))


def _frozen(dpo: DPOModule) -> dict[str, Tensor]:
    dpo.configure_model()
    return {name: p for name, p in dpo.named_parameters() if not p.requires_grad}
