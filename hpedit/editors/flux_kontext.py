"""FLUX.1-Kontext: one reference picture, T5 and CLIP text, guidance embedded in the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from diffusers import FluxKontextPipeline
from diffusers.pipelines.flux import pipeline_flux_kontext
from PIL import Image
from torch import Tensor

from hpedit.editors.guidance import true_cfg
from hpedit.editors.pipeline import ATTENTION, PipelineEditor, Precision, pil_rows
from hpedit.editors.sizes import floored_size
from hpedit.editors.tokens import join_references, join_texts
from hpedit.types import EditBatch, Guidance


@dataclass
class FluxText:
    """Text of N edits: T5 tokens (N, S, D), all of one padded length, and the pooled CLIP vector (N, P)."""

    tokens: Tensor
    pooled: Tensor

    def to(self, device: torch.device | str) -> Self:
        return replace(self, tokens=self.tokens.to(device), pooled=self.pooled.to(device))


@dataclass
class FluxConditioning:
    """Conditioning of N edits of one size with a reference of one size.

    Attributes:
        text: of the instructions.
        negative: of the negative prompt; None where it was not asked for.
        references: (N, L_r, C) latent tokens.
        grids: (height, width) in tokens, of the edit and of the reference.
    """

    text: FluxText
    negative: FluxText | None
    references: Tensor
    grids: tuple[tuple[int, int], tuple[int, int]]

    def to(self, device: torch.device | str) -> Self:
        return replace(
            self,
            text=self.text.to(device),
            negative=None if self.negative is None else self.negative.to(device),
            references=self.references.to(device),
        )


class FluxKontextEditor(PipelineEditor):
    """FLUX.1-Kontext, and checkpoints of the same pipeline class."""

    pipeline_class = FluxKontextPipeline

    def __init__(
        self,
        model: str = "black-forest-labs/FLUX.1-Kontext-dev",
        dtype: Precision = "bfloat16",
        revision: str | None = None,
        variant: str | None = None,
        local_files_only: bool = False,
        reference_area: int | None = None,
        max_text_length: int = 512,
        negative_prompt: str = "",
    ) -> None:
        """Constructing costs nothing; ``load`` reads the weights.

        Args:
            model: folder with a FluxKontextPipeline, or its id on the Hugging Face hub.
            dtype: precision of all weights.
            revision: branch, tag or commit on the hub.
            variant: weight file variant, such as "fp16".
            local_files_only: never ask the hub, use what was downloaded before.
            reference_area: pixels that the source picture is scaled to before it becomes reference latents; None
                takes the nearest of the model's preferred resolutions, of about 1 megapixel, as the pipeline does.
            max_text_length: T5 tokens that every instruction is padded or cut to, at most 512.
            negative_prompt: what true classifier-free guidance leads away from; only for true_cfg > 1.
        """
        super().__init__(model, dtype, revision, variant, local_files_only)
        self.reference_area = reference_area
        self.max_text_length = max_text_length
        self.negative_prompt = negative_prompt

    @property
    def default_lora_targets(self) -> list[str]:
        """Attention and feed-forwards of both kinds of block, as in the published editing recipe."""
        feed_forward = [
            f"{stream}.net.{layer}" for stream in ("ff", "ff_context") for layer in ("0.proj", "2")
        ]
        return [*ATTENTION, *feed_forward, "proj_mlp"]

    @torch.no_grad()
    def encode(self, batch: EditBatch, negative: bool) -> list[FluxConditioning]:
        """Encode B cases, each once. Raises ValueError if a case has more than one source picture."""
        if len(batch.sources) != 1:
            raise ValueError(f"sources: FLUX.1-Kontext takes 1 picture a case, got {len(batch.sources)}")
        pictures = [self._scale(sources[0]) for sources in pil_rows(batch)]
        grids = self._token_grid(batch.size), self._token_grid((pictures[0].height, pictures[0].width))
        pixels = torch.cat([self.pipeline.image_processor.preprocess(picture) for picture in pictures])
        references = self._encode_pixels(pixels)
        texts = self._encode_texts(batch.instruction)
        negatives = (
            self._encode_texts([self.negative_prompt] * len(batch)) if negative else [None] * len(batch)
        )
        return [
            FluxConditioning(
                text=texts[i], negative=negatives[i], references=references[i : i + 1], grids=grids
            )
            for i in range(len(batch))
        ]

    def _scale(self, picture: Image.Image) -> Image.Image:
        width, height = picture.size
        if self.reference_area is None:
            preferred = pipeline_flux_kontext.PREFERRED_KONTEXT_RESOLUTIONS
            _, width, height = min((abs(width / height - w / h), w, h) for w, h in preferred)
            size = (
                height // self.size_multiple * self.size_multiple,
                width // self.size_multiple * self.size_multiple,
            )
        else:
            size = floored_size(width, height, self.reference_area, self.size_multiple)
        return self.pipeline.image_processor.resize(picture, *size)

    def _encode_texts(self, prompts: list[str]) -> list[FluxText]:
        device = self.pipeline.text_encoder_2.device
        tokens, pooled, _ = self.pipeline.encode_prompt(
            prompt=prompts, prompt_2=None, device=device, max_sequence_length=self.max_text_length
        )
        return [FluxText(tokens[i : i + 1], pooled[i : i + 1]) for i in range(len(prompts))]

    def _encode_pixels(self, pixels: Tensor) -> Tensor:
        """Encode (B, 3, H, W) in [-1, 1] into scaled tokens (B, L, C), the mode of the posterior."""
        pipeline = self.pipeline
        latents = pipeline._encode_vae_image(
            pixels.to(pipeline.vae.device, pipeline.vae.dtype), generator=None
        )
        return pipeline._pack_latents(latents, *latents.shape)

    def collate(self, conditions: Sequence[FluxConditioning]) -> FluxConditioning:
        """Join conditions into one batch. Raises ValueError where sizes, or having a negative, differ."""
        text = _join([c.text for c in conditions], "text")
        assert text is not None
        return FluxConditioning(
            text=text,
            negative=_join([c.negative for c in conditions], "negative"),
            references=join_references([(c.references, c.grids) for c in conditions]),
            grids=conditions[0].grids,
        )

    @torch.no_grad()
    def encode_target(self, images: Tensor) -> Tensor:
        """Encode pictures (B, 3, H, W) in [0, 1] into latents x_0 (B, L, C), float32."""
        self._token_grid((images.shape[-2], images.shape[-1]))
        return self._encode_pixels(2.0 * images - 1.0).float()

    def velocity(self, x_t: Tensor, t: Tensor, cond: FluxConditioning, guidance: Guidance) -> Tensor:
        """Return v = eps - x_0, (N, L, C) float32; embedded guidance, and true CFG where its scale is above 1."""
        self._check_guidance(guidance)
        v = self._predict(x_t, t, cond, cond.text, guidance.embedded)
        if not guidance.needs_negative:
            return v
        if cond.negative is None:
            raise ValueError(
                f"guidance.true_cfg {guidance.true_cfg}: conditions were encoded without the negative"
            )
        v_negative = self._predict(x_t, t, cond, cond.negative, guidance.embedded)
        return true_cfg(v, v_negative, guidance.true_cfg)

    def _check_guidance(self, guidance: Guidance) -> None:
        has_embedding = self.pipeline.transformer.config.guidance_embeds
        if has_embedding and guidance.embedded is None:
            raise ValueError(
                "guidance.embedded: wanted a scale, such as 2.5, for a guidance-distilled model, got None"
            )
        if not has_embedding and guidance.embedded is not None:
            raise ValueError(
                f"guidance.embedded: this transformer has none, wanted None, got {guidance.embedded}"
            )

    def _predict(
        self, x_t: Tensor, t: Tensor, cond: FluxConditioning, text: FluxText, embedded: float | None
    ) -> Tensor:
        dtype = self._input_dtype()
        transformer: Any = self.transformer
        output = transformer(
            hidden_states=torch.cat([x_t.to(dtype), cond.references.to(dtype)], dim=1),
            timestep=self._timestep(t),
            guidance=None if embedded is None else torch.full_like(t, embedded, dtype=torch.float32),
            pooled_projections=text.pooled.to(dtype),
            encoder_hidden_states=text.tokens.to(dtype),
            txt_ids=torch.zeros(text.tokens.shape[1], 3, device=x_t.device),
            img_ids=torch.cat([_positions(i, grid, x_t.device) for i, grid in enumerate(cond.grids)]),
            return_dict=False,
        )[0]
        return output[:, : x_t.shape[1]].float()

    @torch.no_grad()
    def decode(self, x_0: Tensor, size: tuple[int, int]) -> Tensor:
        """Decode latents (N, L, C) into pictures (N, 3, H, W) in [0, 1], float32."""
        vae = self.pipeline.vae
        latents = self.pipeline._unpack_latents(x_0, *size, self.pipeline.vae_scale_factor)
        latents = latents.to(vae.device, vae.dtype) / vae.config.scaling_factor + vae.config.shift_factor
        pixels = vae.decode(latents, return_dict=False)[0]
        return (pixels.float() * 0.5 + 0.5).clamp(0, 1)


def _positions(index: int, grid: tuple[int, int], device: torch.device) -> Tensor:
    """Return the (L, 3) rotary positions (picture, row, column) of a token grid; the edit is picture 0."""
    rows, columns = (torch.arange(n, device=device, dtype=torch.float32) for n in grid)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([torch.full_like(y, index), y, x], dim=-1).flatten(0, 1)


def _join(texts: Sequence[FluxText | None], name: str) -> FluxText | None:
    """Join texts along the batch. T5 pads to one length and the model sees the padding: there is no mask."""
    tokens, mask = join_texts([(None if text is None else text.tokens, None) for text in texts], name)
    if tokens is None:
        return None
    if mask is not None:
        raise ValueError(f"{name}: wanted FLUX texts of one length (max_text_length), got several")
    return FluxText(tokens, torch.cat([text.pooled for text in texts if text is not None]))
