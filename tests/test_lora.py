from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hpedit.lora import LoRA, adapter_disabled, add_lora, has_lora, trainable_state_dict
from hpedit.miniature.architectures import TransformerSize, qwen_transformer

TARGETS = ["attn.to_q", "attn.to_out.0", "attn.to_add_out", "txt_mlp.net.2"]


@pytest.fixture
def transformer() -> Any:
    torch.manual_seed(0)
    return qwen_transformer(TransformerSize(), text_dim=32, z_dim=16).eval()


def predict(transformer: nn.Module, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return transformer(
        hidden_states=torch.randn(2, 12, 64, generator=generator).to(dtype),
        encoder_hidden_states=torch.randn(2, 5, 32, generator=generator).to(dtype),
        timestep=torch.tensor([0.3, 0.8], dtype=dtype),
        img_shapes=[[(1, 3, 4)]] * 2,
        return_dict=False,
    )[0]


def shake(transformer: nn.Module) -> None:
    """Give every adapter weight a random value; a fresh adapter does nothing."""
    generator = torch.Generator().manual_seed(2)
    for parameter in trainable_state_dict(transformer).values():
        parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))


@pytest.mark.parametrize("init", ["gaussian", "default"])
def test_a_fresh_adapter_changes_nothing_at_all(transformer: nn.Module, init: Any) -> None:
    before = predict(transformer)
    add_lora(transformer, LoRA(rank=4, alpha=8, init=init), TARGETS)
    assert torch.equal(predict(transformer), before)
    shake(transformer)
    assert (predict(transformer) - before).abs().max() > 1e-3


def test_only_the_adapter_is_trained_and_has_the_rank_asked_for(transformer: nn.Module) -> None:
    add_lora(transformer, LoRA(rank=4, alpha=8), TARGETS)
    trained = trainable_state_dict(transformer)
    assert all(".lora_A." in name or ".lora_B." in name for name in trained)
    assert {p.shape[0] for name, p in trained.items() if ".lora_A." in name} == {4}
    assert {p.shape[1] for name, p in trained.items() if ".lora_B." in name} == {4}


def test_layers_that_no_gradient_reaches_are_passed_over(transformer: nn.Module) -> None:
    add_lora(transformer, LoRA(rank=4), TARGETS)
    adapted = {name.split(".lora_")[0] for name in trainable_state_dict(transformer)}
    assert adapted == {
        "transformer_blocks.0.attn.to_q",
        "transformer_blocks.0.attn.to_out.0",
        "transformer_blocks.0.attn.to_add_out",
        "transformer_blocks.0.txt_mlp.net.2",
        "transformer_blocks.1.attn.to_q",
        "transformer_blocks.1.attn.to_out.0",
    }


def test_targets_of_the_config_come_before_the_editors(transformer: nn.Module) -> None:
    add_lora(transformer, LoRA(rank=2, targets=["attn.to_v"]), TARGETS)
    assert {name.split(".lora_")[0].rsplit(".", 1)[1] for name in trainable_state_dict(transformer)} == {
        "to_v"
    }


def test_a_target_that_is_not_there_is_named(transformer: nn.Module) -> None:
    with pytest.raises(ValueError, match=r"lora.targets: 'attn.to_w' names no linear layer"):
        add_lora(transformer, LoRA(targets=["attn.to_q", "attn.to_w"]), TARGETS)
    assert not has_lora(transformer)


def test_a_second_adapter_is_refused(transformer: nn.Module) -> None:
    add_lora(transformer, LoRA(rank=2), TARGETS)
    with pytest.raises(ValueError, match="has an adapter already"):
        add_lora(transformer, LoRA(rank=2), TARGETS)


@pytest.mark.parametrize(
    ("make", "flag"),
    [
        (lambda: LoRA(rank=0), "lora.rank"),
        (lambda: LoRA(alpha=0), "lora.alpha"),
    ],
)
def test_a_senseless_setting_is_named(make: Callable[[], LoRA], flag: str) -> None:
    with pytest.raises(ValueError, match=flag):
        make()


def test_the_reference_is_the_base_model_even_after_training(transformer: nn.Module) -> None:
    base = predict(transformer)
    add_lora(transformer, LoRA(rank=4), TARGETS)
    shake(transformer)
    policy = predict(transformer)
    with adapter_disabled(transformer):
        assert torch.equal(predict(transformer), base)
    assert torch.equal(predict(transformer), policy)


def test_the_adapter_comes_back_after_an_error_and_after_nesting(transformer: nn.Module) -> None:
    add_lora(transformer, LoRA(rank=4), TARGETS)
    shake(transformer)
    policy = predict(transformer)
    with pytest.raises(KeyError), adapter_disabled(transformer):
        raise KeyError
    with adapter_disabled(transformer):
        base = predict(transformer)
        with adapter_disabled(transformer):
            assert torch.equal(predict(transformer), base)
        assert torch.equal(predict(transformer), base)
    assert torch.equal(predict(transformer), policy)


def test_a_reference_pass_leaves_a_pending_backward_pass_alone(transformer: nn.Module) -> None:
    add_lora(transformer, LoRA(rank=4), TARGETS)
    shake(transformer)
    predict(transformer).square().sum().backward()
    expected = {name: p.grad.clone() for name, p in transformer.named_parameters() if p.grad is not None}
    transformer.zero_grad()
    loss = predict(transformer).square().sum()
    with torch.no_grad(), adapter_disabled(transformer):
        predict(transformer)
        assert trainable_state_dict(transformer).keys() == expected.keys()
    loss.backward()
    for name, parameter in transformer.named_parameters():
        if name in expected:
            assert parameter.grad is not None
            assert torch.equal(parameter.grad, expected[name])


def test_there_is_no_reference_without_an_adapter(transformer: nn.Module) -> None:
    with pytest.raises(RuntimeError, match="no adapter"), adapter_disabled(transformer):
        pass


@pytest.mark.parametrize("autocast", [False, True])
def test_a_float32_adapter_trains_on_a_bfloat16_base(transformer: nn.Module, autocast: bool) -> None:
    base = transformer.to(torch.bfloat16)
    add_lora(base, LoRA(rank=4, alpha=8), TARGETS)
    assert {p.dtype for p in trainable_state_dict(base).values()} == {torch.float32}
    shake(base)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        out = predict(base, torch.bfloat16)
    assert out.dtype == torch.bfloat16
    out.float().square().sum().backward()
    for name, parameter in base.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.dtype == torch.float32
            assert parameter.grad.any(), name


def test_a_plain_network_can_be_adapted_too() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    x = torch.randn(5, 3)
    before = network(x)
    add_lora(network, LoRA(rank=2), ["0"])
    assert torch.equal(network(x), before)
    assert sorted(trainable_state_dict(network)) == ["0.lora_A.default.weight", "0.lora_B.default.weight"]
