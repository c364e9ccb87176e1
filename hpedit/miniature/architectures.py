"""The real model classes at any size, with random weights drawn from torch's global generator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from diffusers import (
    AutoencoderKL,
    AutoencoderKLQwenImage,
    FlowMatchEulerDiscreteScheduler,
    FluxTransformer2DModel,
    QwenImageTransformer2DModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Tokenizer,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    T5Config,
    T5EncoderModel,
)


@dataclass(frozen=True)
class TransformerSize:
    """Size of a diffusion transformer; ``rope_axes`` sum to ``head_dim``.

    ``single_layers`` and ``guidance_embeds`` are for FLUX, ``zero_cond_t`` (Qwen-Image-Edit-2511) for Qwen.
    """

    layers: int = 2
    heads: int = 4
    head_dim: int = 32
    rope_axes: tuple[int, int, int] = (8, 12, 12)
    zero_cond_t: bool = False
    single_layers: int = 2
    guidance_embeds: bool = True


@dataclass(frozen=True)
class VLMSize:
    """Size of a Qwen-VL: language model, vision tower and vocabulary (an upper bound)."""

    hidden: int = 64
    layers: int = 2
    heads: int = 4
    kv_heads: int = 2
    vision_hidden: int = 32
    vision_layers: int = 2
    vision_heads: int = 2
    vocab_size: int = 1024


@dataclass(frozen=True)
class VAESize:
    """Size of an autoencoder with 8 pixels a latent, hence four entries in ``multipliers``."""

    base_dim: int = 16
    z_dim: int = 16
    multipliers: tuple[int, int, int, int] = (1, 2, 2, 2)
    blocks: int = 1


def qwen_transformer(size: TransformerSize, text_dim: int, z_dim: int) -> QwenImageTransformer2DModel:
    return QwenImageTransformer2DModel(
        in_channels=4 * z_dim,
        out_channels=z_dim,
        num_layers=size.layers,
        attention_head_dim=size.head_dim,
        num_attention_heads=size.heads,
        joint_attention_dim=text_dim,
        axes_dims_rope=size.rope_axes,
        zero_cond_t=size.zero_cond_t,
    )


def flux_transformer(size: TransformerSize, text_dim: int, z_dim: int) -> FluxTransformer2DModel:
    return FluxTransformer2DModel(
        in_channels=4 * z_dim,
        num_layers=size.layers,
        num_single_layers=size.single_layers,
        attention_head_dim=size.head_dim,
        num_attention_heads=size.heads,
        joint_attention_dim=text_dim,
        pooled_projection_dim=text_dim,
        guidance_embeds=size.guidance_embeds,
        axes_dims_rope=size.rope_axes,
    )


def qwen_vae(size: VAESize) -> AutoencoderKLQwenImage:
    """Build the autoencoder; its latent mean is 0.1 and its standard deviation 0.9 in every channel."""
    return AutoencoderKLQwenImage(
        base_dim=size.base_dim,
        z_dim=size.z_dim,
        dim_mult=list(size.multipliers),
        num_res_blocks=size.blocks,
        temperal_downsample=[False, True, True],
        latents_mean=[0.1] * size.z_dim,
        latents_std=[0.9] * size.z_dim,
    )


def flux_vae(size: VAESize) -> AutoencoderKL:
    """Build the autoencoder with the latent shift and scale published with FLUX.1."""
    # diffusers annotates these as tuples of one.
    blocks: Any = {
        "block_out_channels": tuple(size.base_dim * m for m in size.multipliers),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
    }
    return AutoencoderKL(
        **blocks,
        layers_per_block=size.blocks,
        latent_channels=size.z_dim,
        norm_num_groups=8,
        scaling_factor=0.3611,
        shift_factor=0.1159,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )


def qwen_scheduler() -> FlowMatchEulerDiscreteScheduler:
    """Return the scheduler with the settings published with Qwen-Image-Edit."""
    return FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True, base_shift=0.5, max_shift=0.9, max_image_seq_len=8192, shift_terminal=0.02
    )


def flux_scheduler() -> FlowMatchEulerDiscreteScheduler:
    """Return the scheduler with the settings published with FLUX.1-Kontext."""
    return FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True, base_shift=0.5, max_shift=1.15, max_image_seq_len=4096, shift=3.0
    )


def clip_text(hidden: int, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    eos: Any = tokenizer.eos_token_id
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=hidden,
            intermediate_size=2 * hidden,
            projection_dim=hidden,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=77,
            eos_token_id=eos,
            pad_token_id=eos,
        )
    )


def t5_text(hidden: int, vocab_size: int) -> T5EncoderModel:
    return T5EncoderModel(
        T5Config(
            vocab_size=vocab_size,
            d_model=hidden,
            d_kv=hidden // 4,
            d_ff=2 * hidden,
            num_layers=2,
            num_heads=4,
            feed_forward_proj="gated-gelu",
        )
    )


def qwen2_5_vl(size: VLMSize, tokenizer: Qwen2Tokenizer) -> Qwen2_5_VLForConditionalGeneration:
    vision = {
        "depth": size.vision_layers,
        "hidden_size": size.vision_hidden,
        "intermediate_size": 2 * size.vision_hidden,
        "num_heads": size.vision_heads,
        "out_hidden_size": size.hidden,
        "fullatt_block_indexes": [size.vision_layers - 1],
    }
    config = Qwen2_5_VLConfig(
        text_config=_language(size, tokenizer) | {"rope_parameters": _mrope(size)},
        vision_config=vision,
        tie_word_embeddings=True,
        **marker_ids(tokenizer),
    )
    return Qwen2_5_VLForConditionalGeneration(config)


def qwen3_vl(size: VLMSize, tokenizer: Qwen2Tokenizer) -> Qwen3VLForConditionalGeneration:
    vision = {
        "depth": size.vision_layers,
        "hidden_size": size.vision_hidden,
        "intermediate_size": 2 * size.vision_hidden,
        "num_heads": size.vision_heads,
        "out_hidden_size": size.hidden,
        "num_position_embeddings": 64,
        "deepstack_visual_indexes": [0],
    }
    text = _language(size, tokenizer) | {"head_dim": size.hidden // size.heads}
    config = Qwen3VLConfig(
        text_config=text | {"rope_parameters": _mrope(size) | {"mrope_interleaved": True}},
        vision_config=vision,
        tie_word_embeddings=True,
        **marker_ids(tokenizer),
    )
    return Qwen3VLForConditionalGeneration(config)


def _language(size: VLMSize, tokenizer: Qwen2Tokenizer) -> dict:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": size.hidden,
        "intermediate_size": 2 * size.hidden,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.kv_heads,
        "bos_token_id": None,
        "eos_token_id": tokenizer.convert_tokens_to_ids("<|im_end|>"),
    }


def _mrope(size: VLMSize) -> dict:
    """Split the rotary channels over time, height and width as 1/4, 3/8, 3/8, like the full-size models."""
    half = size.hidden // size.heads // 2
    time, height = half // 4, (half - half // 4) // 2
    section = [time, height, half - time - height]
    return {"rope_type": "default", "rope_theta": 1e6, "mrope_section": section}


def marker_ids(tokenizer: Qwen2Tokenizer) -> dict[str, Any]:
    markers = {
        "image_token_id": "<|image_pad|>",
        "video_token_id": "<|video_pad|>",
        "vision_start_token_id": "<|vision_start|>",
        "vision_end_token_id": "<|vision_end|>",
    }
    return {name: tokenizer.convert_tokens_to_ids(token) for name, token in markers.items()}
