"""What Qwen-Image-Edit and Qwen-Image-Edit-Plus share: conditioning, velocity and autoencoder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from PIL import Image
from torch import Tensor

from hpedit.editors.guidance import norm_rescaled, true_cfg
from hpedit.editors.pipeline import ATTENTION, PipelineEditor, Precision, pil_rows
from hpedit.editors.single_frame import skip_empty_frames
from hpedit.editors.tokens import join_references, join_texts
from hpedit.types import EditBatch, Guidance


@dataclass
class QwenConditioning:
    """Conditioning of N edits of one size with references of the same sizes.

    Attributes:
        text: (N, S, D) tokens of instruction and pictures.
        text_mask: (N, S) bool, False where padded; None where nothing is.
        negative: (N, S', D) the same with the negative prompt; None where it was not asked for.
        negative_mask: (N, S') bool or None, as ``text_mask``.
        references: (N, L_r, C) latent tokens of all references, one after the other.
        grids: (frames, height, width) in tokens, of the edit and of each reference.
    """

    text: Tensor
    text_mask: Tensor | None
    negative: Tensor | None
    negative_mask: Tensor | None
    references: Tensor
    grids: tuple[tuple[int, int, int], ...]

    def to(self, device: torch.device | str) -> Self:
        moved = {name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **moved)


@dataclass(frozen=True)
class Pictures:
    """A case's source pictures, scaled: what the text encoder sees, and what becomes reference latents."""

    seen: list[Image.Image]
    references: list[Image.Image]


class QwenEditor(PipelineEditor, ABC):
    """Base of the two Qwen editors, which differ in how they scale and announce the source pictures."""

    def __init__(
        self,
        model: str,
        dtype: Precision,
        revision: str | None,
        variant: str | None,
        local_files_only: bool,
        negative_prompt: str,
        mrope: bool,
    ) -> None:
        super().__init__(model, dtype, revision, variant, local_files_only)
        self.negative_prompt = negative_prompt
        self.mrope = mrope

    def load(self) -> None:
        """Read the weights; the autoencoder then spends on a picture what a picture needs."""
        super().load()
        skip_empty_frames(self.pipeline.vae)

    @property
    def default_lora_targets(self) -> list[str]:
        """Attention and both feed-forwards of every block, as in the published editing recipes."""
        feed_forward = [f"{stream}_mlp.net.{layer}" for stream in ("img", "txt") for layer in ("0.proj", "2")]
        return [*ATTENTION, *feed_forward]

    @abstractmethod
    def _scale(self, sources: list[Image.Image]) -> Pictures:
        """Scale the R source pictures of a case."""

    @abstractmethod
    def _announce(self, num_sources: int) -> str:
        """Return what stands before the instruction so that the text encoder sees the pictures."""

    @torch.no_grad()
    def encode(self, batch: EditBatch, negative: bool) -> list[QwenConditioning]:
        """Encode B cases, each once; the rows lie on the devices of the text encoder and the autoencoder."""
        edit = self._token_grid(batch.size)
        pictures = [self._scale(sources) for sources in pil_rows(batch)]
        texts = self._encode_texts(batch.instruction, pictures)
        negatives = self._encode_texts([self.negative_prompt] * len(batch), pictures) if negative else None
        references = self._encode_references(pictures)
        grids = (1, *edit), *((1, *self._token_grid((p.height, p.width))) for p in pictures[0].references)
        return [
            QwenConditioning(
                text=texts[i],
                text_mask=None,
                negative=None if negatives is None else negatives[i],
                negative_mask=None,
                references=references[i : i + 1],
                grids=grids,
            )
            for i in range(len(batch))
        ]

    def _encode_texts(self, prompts: Sequence[str], pictures: Sequence[Pictures]) -> list[Tensor]:
        """Return for each case its (1, S, D) tokens, those of the template's fixed beginning cut off."""
        pipeline = self.pipeline
        prefix = self._announce(len(pictures[0].seen))
        inputs = pipeline.processor(
            text=[pipeline.prompt_template_encode.format(prefix + prompt) for prompt in prompts],
            images=[picture for case in pictures for picture in case.seen],
            padding=True,
            return_tensors="pt",
        ).to(pipeline.text_encoder.device)
        output = pipeline.text_encoder(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            pixel_values=inputs["pixel_values"],
            image_grid_thw=inputs["image_grid_thw"],
            mm_token_type_ids=inputs["mm_token_type_ids"] if self.mrope else None,
            output_hidden_states=True,
            # Nobody reads the logits, and those of all positions would take more memory than the model's layers.
            logits_to_keep=1,
        )
        start, mask = pipeline.prompt_template_encode_start_idx, inputs["attention_mask"].bool()
        return [
            tokens[valid][start:].unsqueeze(0)
            for tokens, valid in zip(output.hidden_states[-1], mask, strict=True)
        ]

    def _encode_references(self, pictures: Sequence[Pictures]) -> Tensor:
        """Return the (B, L_r, C) tokens of all references; each of the R has one size in all cases."""
        processor = self.pipeline.image_processor
        stacks = zip(*(case.references for case in pictures), strict=True)
        encoded = [
            self._encode_pixels(torch.cat([processor.preprocess(p) for p in stack])) for stack in stacks
        ]
        return torch.cat(encoded, dim=1)

    def _encode_pixels(self, pixels: Tensor) -> Tensor:
        """Encode (B, 3, H, W) in [-1, 1] into normalised tokens (B, L, C), the mode of the posterior."""
        pipeline = self.pipeline
        pixels = pixels.to(pipeline.vae.device, pipeline.vae.dtype).unsqueeze(2)
        latents = pipeline._encode_vae_image(pixels, generator=None)
        batch, channels, _, height, width = latents.shape
        return pipeline._pack_latents(latents, batch, channels, height, width)

    def collate(self, conditions: Sequence[QwenConditioning]) -> QwenConditioning:
        """Join conditions into one batch. Raises ValueError where sizes, or having a negative, differ."""
        text, text_mask = join_texts([(c.text, c.text_mask) for c in conditions], "text")
        negative, negative_mask = join_texts([(c.negative, c.negative_mask) for c in conditions], "negative")
        assert text is not None
        return QwenConditioning(
            text=text,
            text_mask=text_mask,
            negative=negative,
            negative_mask=negative_mask,
            references=join_references([(c.references, c.grids) for c in conditions]),
            grids=conditions[0].grids,
        )

    @torch.no_grad()
    def encode_target(self, images: Tensor) -> Tensor:
        """Encode pictures (B, 3, H, W) in [0, 1] into latents x_0 (B, L, C), float32."""
        self._token_grid((images.shape[-2], images.shape[-1]))
        return self._encode_pixels(2.0 * images - 1.0).float()

    def velocity(self, x_t: Tensor, t: Tensor, cond: QwenConditioning, guidance: Guidance) -> Tensor:
        """Return v = eps - x_0, (N, L, C) float32; with true CFG rescaled to the length of the plain one."""
        if guidance.embedded is not None:
            raise ValueError(
                f"guidance.embedded: Qwen-Image-Edit has none, wanted None, got {guidance.embedded}"
            )
        v = self._predict(x_t, t, cond, cond.text, cond.text_mask)
        if not guidance.needs_negative:
            return v
        if cond.negative is None:
            raise ValueError(
                f"guidance.true_cfg {guidance.true_cfg}: conditions were encoded without the negative"
            )
        v_negative = self._predict(x_t, t, cond, cond.negative, cond.negative_mask)
        return norm_rescaled(true_cfg(v, v_negative, guidance.true_cfg), like=v)

    def _predict(
        self, x_t: Tensor, t: Tensor, cond: QwenConditioning, text: Tensor, text_mask: Tensor | None
    ) -> Tensor:
        dtype = self._input_dtype()
        transformer: Any = self.transformer
        output = transformer(
            hidden_states=torch.cat([x_t.to(dtype), cond.references.to(dtype)], dim=1),
            timestep=self._timestep(t),
            encoder_hidden_states=text.to(dtype),
            encoder_hidden_states_mask=text_mask,
            img_shapes=[list(cond.grids)] * x_t.shape[0],
            return_dict=False,
        )[0]
        return output[:, : x_t.shape[1]].float()

    @torch.no_grad()
    def decode(self, x_0: Tensor, size: tuple[int, int]) -> Tensor:
        """Decode latents (N, L, C) into pictures (N, 3, H, W) in [0, 1], float32."""
        pipeline = self.pipeline
        config = pipeline.vae.config
        latents = pipeline._unpack_latents(x_0, *size, pipeline.vae_scale_factor)
        latents = latents.to(pipeline.vae.device, pipeline.vae.dtype)
        mean, std = (
            latents.new_tensor(values).view(1, -1, 1, 1, 1)
            for values in (config.latents_mean, config.latents_std)
        )
        # Divided by 1 / std, not multiplied by std: the pipeline's rounding.
        pixels = pipeline.vae.decode(latents / (1.0 / std) + mean, return_dict=False)[0][:, :, 0]
        return (pixels.float() * 0.5 + 0.5).clamp(0, 1)
