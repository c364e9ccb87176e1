"""Layers whose weights never reach the velocity."""

from __future__ import annotations

from diffusers import QwenImageTransformer2DModel
from torch import nn


def dead_layers(transformer: nn.Module) -> list[str]:
    """Return the names of modules that can be neither trained nor adapted: no gradient reaches them.

    Qwen-Image drops the text tokens after its last block, hence all that only makes text there. Left among
    the trained weights they would stop DistributedDataParallel, which waits for every gradient.
    """
    if not isinstance(transformer, QwenImageTransformer2DModel):
        return []
    last = f"transformer_blocks.{len(transformer.transformer_blocks) - 1}"
    text_only = [
        "attn.add_q_proj",
        "attn.norm_added_q",
        "attn.to_add_out",
        "txt_mlp.net.0.proj",
        "txt_mlp.net.2",
    ]
    return [f"{last}.{name}" for name in text_only]
