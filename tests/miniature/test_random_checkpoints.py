from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import QwenImageEditPlusPipeline, QwenImageTransformer2DModel
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from hpedit.miniature.architectures import TransformerSize
from hpedit.miniature.random_checkpoints import make_qwen2_5_vl, make_qwen3_vl, make_qwen_image_edit_plus


def test_the_same_seed_gives_the_same_weights_and_leaves_the_global_generator_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    untouched = torch.random.get_rng_state()
    folders = [
        make_qwen_image_edit_plus(tmp_path / name, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert torch.equal(torch.random.get_rng_state(), untouched)
    first, same, other = (
        QwenImageTransformer2DModel.from_pretrained(folder, subfolder="transformer").state_dict()
        for folder in folders
    )
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


def test_the_size_is_the_callers(tmp_path: Path) -> None:
    size = TransformerSize(layers=3, heads=2, head_dim=16, rope_axes=(4, 6, 6), zero_cond_t=True)
    folder = make_qwen_image_edit_plus(tmp_path, size)
    config = QwenImageTransformer2DModel.from_pretrained(folder, subfolder="transformer").config
    assert (config.num_layers, config.num_attention_heads, config.attention_head_dim) == (3, 2, 16)
    assert config.zero_cond_t


def test_the_templates_beginning_is_as_long_as_with_the_real_tokenizer(tmp_path: Path) -> None:
    """The pipeline cuts off a fixed number of tokens; one too many would cut the picture's."""
    pipeline = QwenImageEditPlusPipeline.from_pretrained(make_qwen_image_edit_plus(tmp_path))
    beginning = pipeline.prompt_template_encode.split("{}")[0]
    assert len(pipeline.tokenizer(beginning).input_ids) == pipeline.prompt_template_encode_start_idx


@pytest.mark.parametrize("make", [make_qwen2_5_vl, make_qwen3_vl])
def test_a_scorers_vlm_reads_pictures_and_has_a_token_for_every_digit(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    folder = make(tmp_path)
    processor = AutoProcessor.from_pretrained(folder)
    model = AutoModelForImageTextToText.from_pretrained(folder)
    digits = [processor.tokenizer.encode(str(digit)) for digit in range(6)]
    assert all(len(ids) == 1 for ids in digits)
    assert len({ids[0] for ids in digits}) == 6

    def logits(color: str) -> torch.Tensor:
        content = [
            {"type": "image", "image": Image.new("RGB", (64, 96), color)},
            {"type": "text", "text": "Score from 0 to 5."},
        ]
        inputs = processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
        with torch.no_grad():
            return model(**inputs).logits[0, -1]

    assert (logits("red") - logits("blue")).abs().max() > 1e-5
