"""The miniature editor: a small Qwen-Image-Edit-Plus of the real classes, shipped with the package."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from diffusers import AutoencoderKLQwenImage, FlowMatchEulerDiscreteScheduler, QwenImageEditPlusPipeline

from hpedit.miniature.architectures import TransformerSize, VAESize, VLMSize, qwen_vae
from hpedit.miniature.instructions import vocabulary_texts
from hpedit.miniature.random_checkpoints import make_qwen_image_edit_plus

TRANSFORMER = TransformerSize(layers=4, heads=5, head_dim=32)
TEXT_ENCODER = VLMSize(hidden=128, layers=1, vision_hidden=32, vision_layers=1, vocab_size=1024)
VAE = VAESize(base_dim=16, multipliers=(1, 2, 3, 3))

# Side in pixels of the picture that the text encoder sees: one token of it.
CONDITION_SIDE = 28


def new_autoencoder(seed: int = 0) -> AutoencoderKLQwenImage:
    """Return an untrained autoencoder of the miniature's size."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return qwen_vae(VAE)


def write_untrained(folder: str | Path, vae: AutoencoderKLQwenImage, seed: int = 0) -> Path:
    """Write an editor with a trained autoencoder and an untrained transformer, ready for supervised fine-tuning."""
    with tempfile.TemporaryDirectory() as random:
        make_qwen_image_edit_plus(
            random, TRANSFORMER, TEXT_ENCODER, VAE, corpus=vocabulary_texts(), seed=seed
        )
        pipeline = QwenImageEditPlusPipeline.from_pretrained(random)
    pipeline.register_modules(vae=vae, scheduler=_scheduler())
    _keep_words_apart(pipeline)
    area = CONDITION_SIDE**2
    pipeline.processor.image_processor.size = {"shortest_edge": area, "longest_edge": area}
    pipeline.save_pretrained(folder)
    return Path(folder)


def _scheduler() -> FlowMatchEulerDiscreteScheduler:
    """Return Qwen-Image's time shift without its stretch to a last sigma of 0.02: a sixth of six steps."""
    return FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True, base_shift=0.5, max_shift=0.9, max_image_seq_len=8192
    )


def _keep_words_apart(pipeline: QwenImageEditPlusPipeline) -> None:
    """Raise the word embeddings to unit size, so that the random layers above them do not drown the words."""
    with torch.no_grad():
        embedding = pipeline.text_encoder.get_input_embeddings().weight
        embedding /= embedding.std()
