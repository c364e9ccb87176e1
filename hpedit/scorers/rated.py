"""Rated edits: what a scorer learns from, on their way from the records to the module."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from hpedit.scorers.base import ScoreRequest


@dataclass(frozen=True)
class RatedBatch:
    """n ratings, each of one edit in one dimension; the pictures stay on the CPU, where a VLM's processor wants them.

    Attributes:
        requests: the n edits, as a scorer is asked about them.
        dimension: what each was rated for: "overall", "visual quality", ...
        target: (n, 6) float32, what people said, as a distribution over the digits 0-5.
    """

    requests: list[ScoreRequest]
    dimension: list[str]
    target: Tensor

    def __len__(self) -> int:
        return len(self.requests)

    @property
    def rating(self) -> Tensor:
        """The mean ratings (n,), in [0, 5]."""
        return self.target @ torch.arange(self.target.shape[1]).to(self.target)

    @property
    def group(self) -> list[tuple[str, str]]:
        """The n keys of (case, dimension): rows of equal keys can be compared."""
        return [(r.case_id, dimension) for r, dimension in zip(self.requests, self.dimension, strict=True)]

    def to(self, device: torch.device | str) -> Self:
        return replace(self, target=self.target.to(device))
