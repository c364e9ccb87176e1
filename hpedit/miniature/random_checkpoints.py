"""Random checkpoints of the real diffusers and transformers classes, of any size, made without a hub.

Tests use them tiny; the miniature trains larger ones. Every ``make_`` function writes a folder that
``from_pretrained`` reads and returns its path. The same seed gives the same weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from diffusers import FluxKontextPipeline, QwenImageEditPipeline, QwenImageEditPlusPipeline
from transformers import (
    PreTrainedModel,
    ProcessorMixin,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)

from hpedit.miniature import architectures as build
from hpedit.miniature.architectures import TransformerSize, VAESize, VLMSize
from hpedit.miniature.tiny_tokenizers import clip_tokenizer, qwen_tokenizer, t5_tokenizer

# Texts whose words the tokenizers know when the caller names none.
DEFAULT_CORPUS = (
    "Replace the red cube with a blue ball.",
    "Add a small dog to the left of the table and remove the cup.",
    "Change the background to a sunny beach; blur it. Score 0 1 2 3 4 5",
)

# Turns of a conversation, each picture as one placeholder that the processor expands.
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] in ('image', 'image_url') %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_qwen_image_edit_plus(
    folder: str | Path,
    transformer: TransformerSize | None = None,
    text_encoder: VLMSize | None = None,
    vae: VAESize | None = None,
    corpus: Sequence[str] = DEFAULT_CORPUS,
    seed: int = 0,
) -> Path:
    """Write a random Qwen-Image-Edit-2509 (2511 with ``zero_cond_t``); ``corpus`` trains its tokenizer."""
    return _make_qwen(QwenImageEditPlusPipeline, folder, transformer, text_encoder, vae, corpus, seed)


def make_qwen_image_edit(
    folder: str | Path,
    transformer: TransformerSize | None = None,
    text_encoder: VLMSize | None = None,
    vae: VAESize | None = None,
    corpus: Sequence[str] = DEFAULT_CORPUS,
    seed: int = 0,
) -> Path:
    """Write a random Qwen-Image-Edit; ``corpus`` trains its tokenizer."""
    return _make_qwen(QwenImageEditPipeline, folder, transformer, text_encoder, vae, corpus, seed)


def make_flux_kontext(
    folder: str | Path,
    transformer: TransformerSize | None = None,
    text_hidden: int = 32,
    vae: VAESize | None = None,
    corpus: Sequence[str] = DEFAULT_CORPUS,
    seed: int = 0,
) -> Path:
    """Write a random FLUX.1-Kontext; ``text_hidden`` is the width of its CLIP and of its T5."""
    transformer, vae = transformer or TransformerSize(), vae or VAESize()
    clip, t5 = clip_tokenizer(corpus, vocab_size=1024), t5_tokenizer(corpus, vocab_size=256)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pipeline = FluxKontextPipeline(
            scheduler=build.flux_scheduler(),
            vae=build.flux_vae(vae),
            text_encoder=build.clip_text(text_hidden, clip),
            tokenizer=clip,
            text_encoder_2=build.t5_text(text_hidden, len(t5)),
            tokenizer_2=t5,
            transformer=build.flux_transformer(transformer, text_hidden, vae.z_dim),
        )
    pipeline.save_pretrained(folder)
    return Path(folder)


def make_qwen2_5_vl(
    folder: str | Path, size: VLMSize | None = None, corpus: Sequence[str] = DEFAULT_CORPUS, seed: int = 0
) -> Path:
    """Write a random Qwen2.5-VL with its processor, as a scorer's VLM."""
    size = size or VLMSize()
    tokenizer = qwen_tokenizer(corpus, size.vocab_size)
    processor = Qwen2_5_VLProcessor(
        Qwen2VLImageProcessor(), tokenizer, Qwen2VLVideoProcessor(), chat_template=CHAT_TEMPLATE
    )
    return _save_vlm(folder, lambda: build.qwen2_5_vl(size, tokenizer), processor, seed)


def make_qwen3_vl(
    folder: str | Path, size: VLMSize | None = None, corpus: Sequence[str] = DEFAULT_CORPUS, seed: int = 0
) -> Path:
    """Write a random Qwen3-VL with its processor, as a scorer's VLM."""
    size = size or VLMSize()
    tokenizer = qwen_tokenizer(corpus, size.vocab_size)
    images = Qwen2VLImageProcessor(patch_size=16, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    processor = Qwen3VLProcessor(images, tokenizer, Qwen3VLVideoProcessor(), chat_template=CHAT_TEMPLATE)
    return _save_vlm(folder, lambda: build.qwen3_vl(size, tokenizer), processor, seed)


def _save_vlm(
    folder: str | Path, make_model: Callable[[], PreTrainedModel], processor: ProcessorMixin, seed: int
) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        make_model().save_pretrained(folder)
    processor.save_pretrained(folder)
    return Path(folder)


def _make_qwen(
    pipeline_class: type[QwenImageEditPlusPipeline] | type[QwenImageEditPipeline],
    folder: str | Path,
    transformer: TransformerSize | None,
    text_encoder: VLMSize | None,
    vae: VAESize | None,
    corpus: Sequence[str],
    seed: int,
) -> Path:
    transformer, text_encoder, vae = (
        transformer or TransformerSize(),
        text_encoder or VLMSize(),
        vae or VAESize(),
    )
    tokenizer = qwen_tokenizer(corpus, text_encoder.vocab_size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pipeline = pipeline_class(
            scheduler=build.qwen_scheduler(),
            vae=build.qwen_vae(vae),
            text_encoder=build.qwen2_5_vl(text_encoder, tokenizer),
            tokenizer=tokenizer,
            processor=Qwen2VLProcessor(
                Qwen2VLImageProcessor(), tokenizer, Qwen2VLVideoProcessor(), chat_template=CHAT_TEMPLATE
            ),
            transformer=build.qwen_transformer(transformer, text_encoder.hidden, vae.z_dim),
        )
    pipeline.save_pretrained(folder)
    return Path(folder)
