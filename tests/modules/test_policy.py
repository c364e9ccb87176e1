from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from hpedit.modules.policy import Policy
from hpedit.types import Guidance
from tests.modules import support


@pytest.fixture
def editor(checkpoint: str) -> Any:
    return support.tiny_editor(checkpoint)


def predict(editor: Any) -> Tensor:
    cond = editor.collate(editor.encode(support.cases(0, 2), negative=False))
    x_t = torch.randn(2, *editor.latent_shape((64, 64)), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return editor.velocity(x_t, torch.tensor([0.9, 0.4]), cond, Guidance())


def test_the_reference_of_an_adapter_is_the_pretrained_model(editor: Any):
    editor.load()
    pretrained = predict(editor)
    policy = Policy(editor, support.LORA)
    assert torch.equal(predict(editor), pretrained), "a fresh adapter adds exactly nothing"
    support.perturb(policy)
    trained = predict(editor)
    with policy.reference():
        assert torch.equal(predict(editor), pretrained)
    assert not torch.allclose(trained, pretrained)
    assert torch.equal(predict(editor), trained), "and the adapter is on again"


def test_the_reference_of_all_weights_is_a_frozen_copy(editor: Any):
    policy = Policy(editor, None, keep_reference=True)
    pretrained = predict(editor)
    with torch.no_grad():
        for p in policy.transformer.parameters():
            p.mul_(1.1)
    with policy.reference():
        assert torch.equal(predict(editor), pretrained)
    assert not torch.allclose(predict(editor), pretrained)
    assert policy.frozen_copy is not None
    assert not any(p.requires_grad for p in policy.frozen_copy.parameters())


def test_the_reference_comes_back_even_after_an_error(editor: Any):
    policy = Policy(editor, support.LORA)
    support.perturb(policy)
    trained = predict(editor)
    with pytest.raises(KeyError), policy.reference():
        raise KeyError
    assert torch.equal(predict(editor), trained)


def test_without_a_reference_asking_for_one_is_an_error(editor: Any):
    policy = Policy(editor, None, keep_reference=False)
    with pytest.raises(RuntimeError, match="keeps no reference"), policy.reference():
        pass


def test_only_the_adapter_is_trained(editor: Any):
    policy = Policy(editor, support.LORA)
    assert all(("lora_" in name) == p.requires_grad for name, p in policy.named_parameters())


@pytest.mark.parametrize("lora", [support.LORA, None])
def test_every_trained_weight_gets_a_gradient(editor: Any, lora: Any):
    policy = Policy(editor, lora)
    if lora:
        support.perturb(policy)
    cond = editor.collate(editor.encode(support.cases(0, 2), negative=False))
    x_t = torch.randn(2, *editor.latent_shape((64, 64)), generator=torch.Generator().manual_seed(0))
    editor.velocity(x_t, torch.tensor([0.9, 0.4]), cond, Guidance()).square().sum().backward()
    without = [
        name
        for name, p in policy.named_parameters()
        if p.requires_grad and (p.grad is None or not p.grad.any())
    ]
    assert without == []


def test_it_stays_in_evaluation_mode(editor: Any):
    policy = Policy(editor, support.LORA)
    policy.train()
    assert not any(module.training for module in policy.modules())
