"""The contract between an image editor and everything that samples from it or trains it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from hpedit.types import Conditioning, EditBatch, Guidance

C = TypeVar("C", bound=Conditioning)


@runtime_checkable
class Editor(Protocol[C]):
    """A rectified-flow image editor over a diffusers pipeline.

    Constructing one costs nothing; ``load`` reads the weights. Everything but ``transformer`` is frozen,
    and is not a child of any LightningModule: ``place`` moves it.
    """

    @property
    def transformer(self) -> nn.Module:
        """The network that is trained. Raises RuntimeError before ``load``."""
        ...

    @property
    def size_multiple(self) -> int:
        """Heights and widths of edits are multiples of this many pixels."""
        ...

    @property
    def default_lora_targets(self) -> list[str]:
        """Names of the linear layers that a LoRA adapts when the config does not say."""
        ...

    def load(self) -> None:
        """Read the weights from the folder or hub id of the constructor. Idempotent."""
        ...

    def using(self, transformer: nn.Module) -> Any:
        """Return a context in which another transformer predicts: a frozen copy as the reference policy."""
        ...

    def place(self, device: torch.device | str, encoders: bool = True, decoder: bool = True) -> None:
        """Move the text encoder (``encoders``) and the autoencoder (``decoder``) to ``device``."""
        ...

    def latent_shape(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return (L, C) of the latent tokens of an edit of ``size`` (height, width) pixels."""
        ...

    def sigmas(self, num_steps: int, size: tuple[int, int]) -> Tensor:
        """Return the (num_steps + 1,) float32 sigmas from 1 down to 0, shifted as the model's scheduler does."""
        ...

    def encode(self, batch: EditBatch, negative: bool) -> list[C]:
        """Encode B cases, each once; ``negative`` adds the negative prompt that true CFG needs."""
        ...

    def collate(self, conditions: Sequence[C]) -> C:
        """Join conditions of single cases (repeats allowed) into one batch, padded and masked."""
        ...

    def encode_target(self, images: Tensor) -> Tensor:
        """Encode pictures (B, 3, H, W) in [0, 1] into latents x_0 (B, L, C)."""
        ...

    def velocity(self, x_t: Tensor, t: Tensor, cond: C, guidance: Guidance) -> Tensor:
        """Return v = eps - x_0, (N, L, C) float32, at x_t (N, L, C) and t (N,)."""
        ...

    def decode(self, x_0: Tensor, size: tuple[int, int]) -> Tensor:
        """Decode latents (N, L, C) into pictures (N, 3, H, W) in [0, 1], float32."""
        ...
