"""What all editors share: a diffusers pipeline, read late, frozen but for its transformer, moved in parts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from diffusers import DiffusionPipeline
from PIL import Image
from torch import Tensor, nn

from hpedit.dead_layers import dead_layers
from hpedit.editors.shipped import resolve_model
from hpedit.flow import SigmaSchedule, sigma_grid
from hpedit.images import to_pil, to_uint8
from hpedit.types import EditBatch

Precision = Literal["float32", "bfloat16", "float16"]

# Projections of the attention over pictures and text together, as diffusers names them: usual LoRA targets.
_OF_PICTURES = ("to_q", "to_k", "to_v", "to_out.0")
_OF_TEXT = ("add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")
ATTENTION = tuple(f"attn.{name}" for name in (*_OF_PICTURES, *_OF_TEXT))


class PipelineEditor:
    """Base of the editors: loading, placing, sizes and sigmas. Subclasses encode, predict and decode."""

    pipeline_class: ClassVar[type[DiffusionPipeline]]
    # All supported models: autoencoders with 8 pixels a latent, transformers with 2 x 2 latents a token.
    size_multiple: int = 16

    def __init__(
        self, model: str, dtype: Precision, revision: str | None, variant: str | None, local_files_only: bool
    ) -> None:
        self.model = resolve_model(model)
        self.dtype: torch.dtype = getattr(torch, dtype)
        self.revision = revision
        self.variant = variant
        self.local_files_only = local_files_only
        self._pipeline: Any = None

    @property
    def pipeline(self) -> Any:
        """The diffusers pipeline. Raises RuntimeError before ``load``."""
        if self._pipeline is None:
            raise RuntimeError(f"editor {self.model!r} is not loaded; call load() first")
        return self._pipeline

    @property
    def transformer(self) -> nn.Module:
        return self.pipeline.transformer

    @contextmanager
    def using(self, transformer: nn.Module) -> Iterator[None]:
        """Predict with another transformer inside the block: a frozen copy as the reference policy."""
        own, self.pipeline.transformer = self.pipeline.transformer, transformer
        try:
            yield
        finally:
            self.pipeline.transformer = own

    def load(self) -> None:
        """Read the weights. Raises ValueError that names ``model`` when they are not there, or another editor's."""
        if self._pipeline is not None:
            return
        self._check_model()
        pipeline: Any = self.pipeline_class.from_pretrained(
            self.model,
            dtype=self.dtype,
            revision=self.revision,
            variant=self.variant,
            local_files_only=self.local_files_only,
        )
        if pipeline.vae_scale_factor * 2 != self.size_multiple:
            raise ValueError(
                f"model {self.model!r}: wanted 8 pixels a latent, got {pipeline.vae_scale_factor}"
            )
        for name, component in pipeline.components.items():
            if isinstance(component, nn.Module):
                component.eval().requires_grad_(name == "transformer")
        for name in dead_layers(pipeline.transformer):
            pipeline.transformer.get_submodule(name).requires_grad_(False)
        self._pipeline = pipeline

    def _check_model(self) -> None:
        wanted = self.pipeline_class.__name__
        looks_like_path = self.model.startswith((".", "/", "~")) or self.model.count("/") > 1
        if looks_like_path and not Path(self.model).is_dir():
            raise ValueError(f"model: no such folder: {self.model!r}")
        try:
            config: Any = self.pipeline_class.load_config(
                self.model, revision=self.revision, local_files_only=self.local_files_only
            )
        except OSError as error:
            raise ValueError(
                f"model: {self.model!r} is neither a folder with a {wanted} nor one that the hub gives: {error}"
            ) from error
        found = config.get("_class_name")
        if found != wanted:
            raise ValueError(f"model: wanted the weights of a {wanted}, got a {found} in {self.model!r}")

    def place(self, device: torch.device | str, encoders: bool = True, decoder: bool = True) -> None:
        """Move the text encoders (``encoders``) and the autoencoder (``decoder``) to ``device``."""
        for name, component in self._frozen_modules():
            if decoder if name == "vae" else encoders:
                component.to(device)

    def _frozen_modules(self) -> Iterator[tuple[str, nn.Module]]:
        for name, component in self.pipeline.components.items():
            if isinstance(component, nn.Module) and name != "transformer":
                yield name, component

    def latent_shape(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return (L, C) of the latent tokens of an edit of ``size`` (height, width) pixels."""
        height, width = self._token_grid(size)
        return height * width, self.pipeline.transformer.config.in_channels

    def _token_grid(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return how many tokens an edit is high and wide. Raises ValueError if it is no whole number."""
        if any(side <= 0 or side % self.size_multiple for side in size):
            raise ValueError(
                f"size: wanted multiples of {self.size_multiple}, got {size[0]} x {size[1]} (h x w)"
            )
        return size[0] // self.size_multiple, size[1] // self.size_multiple

    def sigmas(self, num_steps: int, size: tuple[int, int]) -> Tensor:
        """Return the (num_steps + 1,) float32 sigmas from 1 down to 0, shifted as the model's scheduler does."""
        schedule = SigmaSchedule.from_scheduler_config(self.pipeline.scheduler.config)
        return sigma_grid(num_steps, self.latent_shape(size)[0], schedule)

    def _input_dtype(self) -> torch.dtype:
        """Return the precision of the transformer's own weights; an adapter may have another."""
        return next(self.transformer.parameters()).dtype

    def _timestep(self, t: Tensor) -> Tensor:
        # The pipelines round sigma * 1000 to the latents' precision and divide again; the model was used so.
        return (t * 1000).to(self._input_dtype()) / 1000


def pil_rows(batch: EditBatch) -> list[list[Image.Image]]:
    """Return for each case its R source pictures, as the pipelines take them: 8-bit PIL images."""
    sources = [[to_pil(picture) for picture in to_uint8(source)] for source in batch.sources]
    return [list(row) for row in zip(*sources, strict=True)]
