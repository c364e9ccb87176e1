"""The trained adapter: adding it and switching it off. Its files are written by hpedit.lora_files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from hpedit.dead_layers import dead_layers
from hpedit.lora_files import ADAPTER, load_lora, save_lora, save_lora_comfyui, trainable_state_dict

__all__ = [
    "LoRA",
    "adapter_disabled",
    "add_lora",
    "has_lora",
    "load_lora",
    "save_lora",
    "save_lora_comfyui",
    "trainable_state_dict",
]


@dataclass(frozen=True)
class LoRA:
    """A low-rank adapter; its output is scaled by alpha / rank and is exactly zero at first.

    There is no dropout: a policy that samples with one network and trains with another is off-policy from the start.

    Args:
        rank: inner dimension of the adapter.
        alpha: numerator of its scale.
        targets: names, or ends of names, of the linear layers to adapt; None takes the editor's default.
        init: how the first matrix is drawn: "gaussian" (std 1 / rank) or "default" (Kaiming uniform).
        dtype: precision of the adapter, whatever that of the base model.
    """

    rank: int = 32
    alpha: float = 64
    targets: list[str] | None = None
    init: Literal["gaussian", "default"] = "gaussian"
    dtype: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"lora.rank: wanted at least 1, got {self.rank}")
        if self.alpha <= 0:
            raise ValueError(f"lora.alpha: wanted more than 0, got {self.alpha}")


def add_lora(transformer: nn.Module, lora: LoRA, default_targets: Sequence[str]) -> None:
    """Freeze ``transformer`` and add the trainable adapter to it, in place.

    Layers that no gradient reaches (``dead_layers``) are passed over. Raises ValueError where an adapter is
    there already, or a target names no linear layer.
    """
    if has_lora(transformer):
        raise ValueError("lora: the transformer has an adapter already")
    targets = list(default_targets) if lora.targets is None else lora.targets
    _check_targets(transformer, targets)
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # pyright: ignore[reportArgumentType]  # annotated int, any number works
        target_modules=targets,
        exclude_modules=dead_layers(transformer) or None,
        init_lora_weights="gaussian" if lora.init == "gaussian" else True,
    )
    transformer.requires_grad_(False)
    # The diffusers models' own method also records that they carry an adapter; a plain module has none.
    add: Any = getattr(transformer, "add_adapter", None)
    add(config, ADAPTER) if add else inject_adapter_in_model(config, transformer, ADAPTER)
    for parameter in transformer.parameters():
        if parameter.requires_grad:
            # peft gives an adapter its base layer's precision: too coarse for small steps on a bf16 base.
            parameter.data = parameter.data.to(getattr(torch, lora.dtype))


def _check_targets(transformer: nn.Module, targets: Sequence[str]) -> None:
    linear = [name for name, module in transformer.named_modules() if isinstance(module, nn.Linear)]
    for target in targets:
        if not any(name == target or name.endswith(f".{target}") for name in linear):
            raise ValueError(
                f"lora.targets: {target!r} names no linear layer; there are, for one, {linear[:3]}"
            )


def lora_layers(transformer: nn.Module) -> Iterator[BaseTunerLayer]:
    """Yield the adapted layers."""
    return (module for module in transformer.modules() if isinstance(module, BaseTunerLayer))


def has_lora(transformer: nn.Module) -> bool:
    return next(lora_layers(transformer), None) is not None


@contextmanager
def adapter_disabled(transformer: nn.Module) -> Iterator[None]:
    """Switch the adapter off inside the block: the reference policy. Raises RuntimeError if there is none."""
    layers = list(lora_layers(transformer))
    if not layers:
        raise RuntimeError(
            "the transformer has no adapter to switch off: policy and reference would be the same"
        )
    # peft's own switch also flips requires_grad, which FSDP and a pending backward pass must not see.
    before = [layer._disable_adapters for layer in layers]
    try:
        for layer in layers:
            layer._disable_adapters = True
        yield
    finally:
        for layer, disabled in zip(layers, before, strict=True):
            layer._disable_adapters = disabled
