"""Small tokenizers of the real classes, trained on a handful of sentences."""

from __future__ import annotations

import string
from collections.abc import Sequence

from diffusers import QwenImageEditPlusPipeline
from transformers import CLIPTokenizer, Qwen2Tokenizer, T5Tokenizer

QWEN_SPECIAL_TOKENS = (
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)

# Every printable character once, so that no text is unknown to a tokenizer without bytes.
_ALPHABET = " ".join(string.printable.split()[0])


def _qwen_template() -> str:
    """Return the editing pipeline's own prompt template: its prefix is cut off after 64 tokens."""
    return QwenImageEditPlusPipeline(*[None] * 6).prompt_template_encode  # pyright: ignore[reportArgumentType]


def qwen_tokenizer(corpus: Sequence[str], vocab_size: int) -> Qwen2Tokenizer:
    """Train a byte-level BPE; the template's prefix is 64 tokens long, as with the real vocabulary."""
    texts = [_qwen_template(), "Picture 1: Picture 2: ", *corpus] * 4
    return Qwen2Tokenizer().train_new_from_iterator(
        texts, vocab_size=vocab_size, new_special_tokens=list(QWEN_SPECIAL_TOKENS), show_progress=False
    )


def clip_tokenizer(corpus: Sequence[str], vocab_size: int) -> CLIPTokenizer:
    tokenizer = CLIPTokenizer().train_new_from_iterator(
        [_ALPHABET, *corpus] * 4, vocab_size=vocab_size, show_progress=False
    )
    tokenizer.model_max_length = 77
    return tokenizer


def t5_tokenizer(corpus: Sequence[str], vocab_size: int) -> T5Tokenizer:
    return T5Tokenizer().train_new_from_iterator(
        [_ALPHABET, *corpus] * 4, vocab_size=vocab_size, show_progress=False
    )
