"""The miniature's judge before training: a tiny Qwen3-VL of the real class, with a head start in comparing pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    Qwen2Tokenizer,
    Qwen2VLImageProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)

from hpedit.miniature.architectures import marker_ids
from hpedit.miniature.instructions import vocabulary_texts
from hpedit.miniature.random_checkpoints import CHAT_TEMPLATE
from hpedit.miniature.tiny_tokenizers import qwen_tokenizer
from hpedit.scorers.base import ScoreRequest
from hpedit.scorers.prompts import BASE, ScoringPrompt, load_prompts, quoted, render

PROMPTS = Path(__file__).resolve().parent / "judge_prompts"
HEADS = 4  # of attention, one for each quarter of a picture
PATCH = 16  # pixels a side of a token
GRID = 4  # tokens a side of a picture
# Positions from a token of picture A to the same place of B: the width of A, the end of A, the label, the start of B.
LOOK_BACK = GRID + 3
# Positions from the first token of B to the last of the chat: the width of B, and seven tokens of which it is the last.
TAIL = GRID + 6


@dataclass(frozen=True)
class JudgeSize:
    """Size of the judge; ``hidden / 4`` is the width of an attention head."""

    hidden: int = 128
    layers: int = 5
    inner: int = 256
    patch_hidden: int = 256


def write_untrained_judge(folder: str | Path, size: JudgeSize | None = None, seed: int = 0) -> Path:
    """Write an untrained judge with its processor, as transformers reads it."""
    tokenizer = judge_tokenizer()
    images = Qwen2VLImageProcessor(
        patch_size=PATCH,
        merge_size=1,
        temporal_patch_size=1,
        image_mean=[0.5] * 3,
        image_std=[0.25] * 3,
        size={"shortest_edge": (GRID * PATCH) ** 2, "longest_edge": (GRID * PATCH) ** 2},
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        new_judge(size or JudgeSize(), tokenizer).save_pretrained(folder)
    processor = Qwen3VLProcessor(images, tokenizer, Qwen3VLVideoProcessor(), chat_template=CHAT_TEMPLATE)
    processor.save_pretrained(folder)
    return Path(folder)


def judge_tokenizer() -> Qwen2Tokenizer:
    """Return a tokenizer that knows every instruction's words, and has a token for each fixed text of the chat."""
    fixed = _fixed_texts(load_prompts(PROMPTS)[BASE])
    tokenizer = qwen_tokenizer([*vocabulary_texts(), *fixed, "0 1 2 3 4 5"], vocab_size=1024)
    tokenizer.add_tokens(fixed)
    return tokenizer


def _fixed_texts(prompt: ScoringPrompt) -> list[str]:
    """Return what every chat of a prompt has in common, cut where the instruction begins."""
    black = torch.zeros(3, GRID * PATCH, GRID * PATCH, dtype=torch.uint8)
    request = ScoreRequest("", BASE, "x", "", (black,), black)
    parts = [part for message in render(prompt, request) for part in message.parts if isinstance(part, str)]
    return [part.split(quoted("x"))[0] for part in parts]


def new_judge(size: JudgeSize, tokenizer: Qwen2Tokenizer) -> Qwen3VLForConditionalGeneration:
    """Build the model with random weights but for its first layer, which compares each place of B with that of A."""
    width = size.hidden // HEADS
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": size.hidden,
        "intermediate_size": size.inner,
        "num_hidden_layers": size.layers,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "head_dim": width,
        "attention_bias": True,
        "bos_token_id": None,
        "eos_token_id": tokenizer.convert_tokens_to_ids("<|im_end|>"),
        # Pictures are a few tokens wide: the slowest channel turns once in some twenty.
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 4.0,
            "mrope_section": [width // 2 - 2 * (width // 6), width // 6, width // 6],
            "mrope_interleaved": True,
        },
    }
    vision = {
        "depth": 0,  # a token is a patch: nothing to join, and the language model compares
        "deepstack_visual_indexes": [],
        "hidden_size": size.patch_hidden,
        "intermediate_size": size.patch_hidden,
        "num_heads": 4,
        "out_hidden_size": size.hidden,
        "patch_size": PATCH,
        "spatial_merge_size": 1,
        "temporal_patch_size": 1,
        "num_position_embeddings": GRID**2,
    }
    config = Qwen3VLConfig(
        text_config=text, vision_config=vision, tie_word_embeddings=False, **marker_ids(tokenizer)
    )
    model = Qwen3VLForConditionalGeneration(config)
    with torch.no_grad():
        _widen(model)
        _head_start(model.model.language_model)
    return model


def _widen(model: Any) -> None:
    """Bring words, patches and what the layers add to one size, so that none drowns the others."""
    language, visual = model.model.language_model, model.model.visual
    linear = [m for m in (*language.modules(), *visual.modules()) if isinstance(m, nn.Linear)]
    for layer in linear:
        layer.weight.normal_(0, 1 / math.sqrt(layer.in_features))
    language.embed_tokens.weight.normal_(0, 0.5)
    patches: Any = visual.patch_embed.proj
    patches.weight.normal_(0, 1 / math.sqrt(patches.weight[0].numel()))
    patches.bias.normal_(0, 1)  # without a constant, the norm after it would lose how bright a patch is
    visual.pos_embed.weight.normal_(0, 0.2)


def _head_start(language: Any) -> None:
    """Let the first layer and the last but one subtract picture A from B, place by place; let the last layer look
    from the answer at the four quarters of B."""
    here, back = (0.0, 0.0, 0.0), (float(LOOK_BACK),) * 3
    quarters = [(TAIL, TAIL - y, TAIL - x) for y in (0.5, 2.5) for x in (0.5, 2.5)]
    compared = (language.layers[0], language.layers[-2])
    for layer in compared:
        heads = layer.self_attn.q_proj.out_features // layer.self_attn.head_dim
        _look(layer.self_attn, language.rotary_emb, [here, back] * (heads // 2), sharpness=5.0)
        _subtract(layer.self_attn)
    _look(language.layers[-1].self_attn, language.rotary_emb, quarters, sharpness=3.0)


def _look(
    attention: Any, rotary: Any, offsets: Sequence[tuple[float, float, float]], sharpness: float
) -> None:
    """Let each head attend to the token that lies an offset (time, height, width) before its own.

    Where query and key hardly depend on the token, rotary positions make attention a function of distance alone,
    with its peak where the query is turned back by that distance.
    """
    half = attention.head_dim // 2
    key = torch.cat([torch.ones(half), torch.zeros(half)])
    axis = torch.arange(half) % 3  # time, height and width take turns (mrope_interleaved)
    angles = [rotary.inv_freq * torch.tensor(offset)[axis] for offset in offsets]
    queries = [torch.cat([angle.cos(), -angle.sin()]) for angle in angles]
    attention.q_proj.bias.copy_(torch.cat(queries))
    attention.k_proj.bias.copy_(key.repeat(len(offsets)))
    for projection in (attention.q_proj, attention.k_proj):
        projection.weight.mul_(0.05)
    for norm in (attention.q_norm, attention.k_norm):
        norm.weight.fill_(sharpness)


def _subtract(attention: Any) -> None:
    """Let each second head take away what the head before it adds, so that equal tokens leave nothing."""
    width, hidden = attention.head_dim, attention.v_proj.in_features
    value = attention.v_proj.weight.view(-1, 2, width, hidden)
    value[:, 1] = value[:, 0]
    out = attention.o_proj.weight.view(hidden, -1, 2, width)
    out[:, :, 1] = -out[:, :, 0]
    nn.init.zeros_(attention.v_proj.bias)
    nn.init.zeros_(attention.o_proj.bias)
