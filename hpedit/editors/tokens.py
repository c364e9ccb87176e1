"""Joining the tokens of single cases into one batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def join_texts(
    texts: Sequence[tuple[Tensor | None, Tensor | None]], name: str
) -> tuple[Tensor | None, Tensor | None]:
    """Join (tokens (n, S_i, D), mask (n, S_i) or None) along the batch, padded with zeros to the longest.

    Returns (None, None) if there are none at all, and no mask where nothing is padded: that is what the
    pipelines do, and an attention without a mask is faster. Raises ValueError that names ``name`` if only
    some have tokens.
    """
    present = [(tokens, mask) for tokens, mask in texts if tokens is not None]
    if not present:
        return None, None
    if len(present) != len(texts):
        raise ValueError(
            f"{name}: wanted it in all conditions of a batch or in none, got {len(present)}/{len(texts)}"
        )
    longest = max(tokens.shape[1] for tokens, _ in present)
    joined = torch.cat([F.pad(tokens, (0, 0, 0, longest - tokens.shape[1])) for tokens, _ in present])
    if all(mask is None and tokens.shape[1] == longest for tokens, mask in present):
        return joined, None
    masks = [
        tokens.new_ones(tokens.shape[:2], dtype=torch.bool) if mask is None else mask
        for tokens, mask in present
    ]
    return joined, torch.cat([F.pad(mask, (0, longest - mask.shape[1])) for mask in masks])


def join_references(references: Sequence[tuple[Tensor, tuple[tuple[int, ...], ...]]]) -> Tensor:
    """Join the (n, L_r, C) reference tokens of conditions along the batch.

    Raises ValueError unless all have the same token grids: one batch has one size.
    """
    grids = {grid for _, grid in references}
    if len(grids) != 1:
        shown = ", ".join(str(grid) for grid in sorted(grids))
        raise ValueError(f"conditions: wanted edits and references of one size in a batch, got grids {shown}")
    return torch.cat([tokens for tokens, _ in references])
