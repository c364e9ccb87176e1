"""The miniature's judge before training: a tiny Qwen3-VL of the real class, with a head start in comparing pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
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
PATCH = 16  # pixels a side of a token
GRID = 4  # tokens a side of a picture
# Positions from a token of picture A to the same place of B: the width of A, the end of A, the label, the start of B.
LOOK_BACK = GRID + 3


@dataclass(frozen=True)
class JudgeSize:
    """Size of the judge; ``heads`` are even in number, ``hidden / heads`` is the width of one."""

    hidden: int = 128
    layers: int = 4
    heads: int = 4
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
    width = size.hidden // size.heads
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": size.hidden,
        "intermediate_size": size.inner,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.heads,
        "head_dim": width,
        "attention_bias": True,
        "initializer_range": 0.05,
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
        "initializer_range": 0.05,
    }
    config = Qwen3VLConfig(
        text_config=text, vision_config=vision, tie_word_embeddings=False, **marker_ids(tokenizer)
    )
    model = Qwen3VLForConditionalGeneration(config)
    with torch.no_grad():
        _widen(model)
        _compare(model.model.language_model.layers[0].self_attn, model.model.language_model.rotary_emb)
    return model


def _widen(model: Any) -> None:
    """Bring words and patches to one size, neither drowned by the other in the layers above."""
    model.model.language_model.embed_tokens.weight.normal_(0, 0.5)
    visual = model.model.visual
    patches: Any = visual.patch_embed.proj
    patches.weight.normal_(0, 1 / math.sqrt(patches.weight[0].numel()))
    patches.bias.normal_(0, 1)  # without a constant, the norm after it would lose how bright a patch is
    visual.pos_embed.weight.normal_(0, 0.2)
    for layer in (visual.merger.linear_fc1, visual.merger.linear_fc2):
        layer.weight.normal_(0, 1 / math.sqrt(layer.in_features))


def _compare(attention: Any, rotary: Any, sharpness: float = 5.0) -> None:
    """Let half of the heads attend to their own place and half to the same place of picture A, and subtract.

    Where a head's query and key do not depend on the token, rotary positions make its attention a function of
    distance alone, with its peak where the query is turned back by that distance.
    """
    width = attention.head_dim
    angles = rotary.inv_freq * LOOK_BACK
    key = torch.cat([torch.ones(width // 2), torch.zeros(width // 2)])
    back = torch.cat([angles.cos(), -angles.sin()])
    heads = attention.q_proj.out_features // width
    for projection, bias in ((attention.q_proj, [key, back]), (attention.k_proj, [key, key])):
        projection.weight.mul_(0.1)
        projection.bias.copy_(torch.cat(bias * (heads // 2)))
    for norm in (attention.q_norm, attention.k_norm):
        norm.weight.fill_(sharpness)
    hidden = attention.v_proj.in_features
    value = torch.randn(heads // 2, 1, width, hidden) / math.sqrt(hidden)
    attention.v_proj.weight.copy_(value.expand(-1, 2, -1, -1).reshape(-1, hidden))
    attention.v_proj.bias.zero_()
    out: Tensor = torch.randn(hidden, heads // 2, 1, width) / math.sqrt(2 * width)
    signs = torch.tensor([1.0, -1.0]).view(1, 1, 2, 1)
    attention.o_proj.weight.copy_((out * signs).reshape(hidden, -1))
    nn.init.zeros_(attention.o_proj.bias)
