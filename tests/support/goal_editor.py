"""An editor without a network, whose velocity is known in closed form."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from hpedit.types import EditBatch, Guidance


@dataclass
class Goal:
    """Conditioning of the editor below: the latents (N, L, C) that it paints."""

    x_0: Tensor

    def to(self, device: Any) -> Goal:
        return self


@dataclass
class GoalEditor:
    """An Editor that paints a case's goal, the mean of its source: v = (x_t - x_0) / t, so every path ends there.

    Attributes:
        asked: time and guidance of every forward pass.
        encoded, negatives: the cases that were encoded, and with the negative prompt or not, by call.
        placed: device, encoders, decoder of every call of ``place``.
    """

    asked: list[tuple[float, Guidance]] = field(default_factory=list, init=False)
    encoded: list[str] = field(default_factory=list, init=False)
    negatives: list[bool] = field(default_factory=list, init=False)
    placed: list[tuple[str, bool, bool]] = field(default_factory=list, init=False)
    transformer: nn.Module = field(default_factory=nn.Identity, init=False)
    size_multiple: int = field(default=1, init=False)
    default_lora_targets: list[str] = field(default_factory=list, init=False)

    def load(self) -> None: ...

    def using(self, transformer: nn.Module) -> Any:
        return nullcontext()

    def place(self, device: Any, encoders: bool = True, decoder: bool = True) -> None:
        self.placed.append((str(device), encoders, decoder))

    def latent_shape(self, size: tuple[int, int]) -> tuple[int, int]:
        return 2 + size[0] * size[1] // 16, 2

    def sigmas(self, num_steps: int, size: tuple[int, int]) -> Tensor:
        return torch.linspace(1, 0, num_steps + 1)

    def encode(self, batch: EditBatch, negative: bool) -> list[Goal]:
        self.negatives.append(negative)
        self.encoded += batch.case_id
        return [Goal(source.mean().expand(self.latent_shape(batch.size))) for source in batch.sources[0]]

    def collate(self, conditions: Any) -> Goal:
        return Goal(torch.stack([c.x_0 for c in conditions]))

    def encode_target(self, images: Tensor) -> Tensor:
        return images.flatten(2)

    def velocity(self, x_t: Tensor, t: Tensor, cond: Goal, guidance: Guidance) -> Tensor:
        self.asked.append((float(t[0]), guidance))
        return (x_t - cond.x_0) / t[:, None, None]

    def decode(self, x_0: Tensor, size: tuple[int, int]) -> Tensor:
        return x_0.mean((1, 2)).view(-1, 1, 1, 1).expand(-1, 3, *size)


def grey_batch(*greys: float, size: tuple[int, int] = (4, 4)) -> EditBatch:
    """Cases whose source is of one grey, and so is the edit that GoalEditor paints."""
    return EditBatch(
        case_id=[f"grey{grey:g}" for grey in greys],
        task=["bokeh"] * len(greys),
        instruction=[""] * len(greys),
        requirement=[""] * len(greys),
        sources=[torch.tensor(greys).view(-1, 1, 1, 1).expand(-1, 3, *size)],
        size=size,
    )
