"""Qwen-Image-Edit-2509 at its published size with random weights: what it costs needs no download."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers import AutoencoderKLQwenImage, QwenImageEditPlusPipeline, QwenImageTransformer2DModel
from torch import nn
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Tokenizer,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
)

from hpedit.miniature.architectures import qwen_scheduler
from hpedit.miniature.tiny_tokenizers import qwen_tokenizer


@dataclass(frozen=True)
class FullSize:
    """Settings of the classes' constructors; the defaults are the published checkpoint's.

    Attributes:
        transformer: of the diffusion transformer; none, since the class's defaults are the checkpoint's (20.4 B).
        language, vision: of the text encoder, a Qwen2.5-VL (8.3 B).
        vae: of the autoencoder; none for the same reason.
    """

    transformer: dict[str, Any] = field(default_factory=dict)
    language: dict[str, Any] = field(
        default_factory=lambda: {
            "vocab_size": 152064,
            "hidden_size": 3584,
            "intermediate_size": 18944,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
        }
    )
    vision: dict[str, Any] = field(
        default_factory=lambda: {
            "depth": 32,
            "hidden_size": 1280,
            "intermediate_size": 3420,
            "num_heads": 16,
            "out_hidden_size": 3584,
            "fullatt_block_indexes": [7, 15, 23, 31],
        }
    )
    vae: dict[str, Any] = field(default_factory=dict)


def random_pipeline(
    size: FullSize, device: torch.device | str, dtype: torch.dtype, corpus: list[str]
) -> QwenImageEditPlusPipeline:
    """Build the pipeline on ``device`` in ``dtype``; the tokenizer knows the words of ``corpus``."""
    tokenizer = qwen_tokenizer(corpus, vocab_size=4096)
    with torch.device(device), _default_dtype(dtype), torch.random.fork_rng():
        torch.manual_seed(0)
        transformer = QwenImageTransformer2DModel(**size.transformer)
        text_encoder = Qwen2_5_VLForConditionalGeneration(_text_config(size, tokenizer))
        vae = AutoencoderKLQwenImage(**size.vae)
    return QwenImageEditPlusPipeline(
        scheduler=qwen_scheduler(),
        vae=_frozen(vae),
        text_encoder=_frozen(text_encoder),
        tokenizer=tokenizer,
        processor=Qwen2VLProcessor(Qwen2VLImageProcessor(), tokenizer, Qwen2VLVideoProcessor()),
        transformer=transformer.eval(),
    )


def _text_config(size: FullSize, tokenizer: Qwen2Tokenizer) -> Qwen2_5_VLConfig:
    def marker(token: str) -> int:
        return int(tokenizer.convert_tokens_to_ids(token))  # pyright: ignore[reportArgumentType]

    return Qwen2_5_VLConfig(
        text_config=size.language,
        vision_config=size.vision,
        tie_word_embeddings=False,
        image_token_id=marker("<|image_pad|>"),
        video_token_id=marker("<|video_pad|>"),
        vision_start_token_id=marker("<|vision_start|>"),
        vision_end_token_id=marker("<|vision_end|>"),
    )


def _frozen(module: Any) -> Any:
    assert isinstance(module, nn.Module)
    return module.eval().requires_grad_(False)


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
