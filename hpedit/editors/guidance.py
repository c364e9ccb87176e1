"""Classifier-free guidance of velocities, in the pipelines' order of operations."""

from __future__ import annotations

from torch import Tensor
from torch.linalg import vector_norm


def true_cfg(v: Tensor, v_negative: Tensor, scale: float) -> Tensor:
    """Return v_negative + scale (v - v_negative)."""
    return v_negative + scale * (v - v_negative)


def norm_rescaled(v: Tensor, like: Tensor) -> Tensor:
    """Scale every token of v (N, L, C) to the length of the same token of ``like`` (Qwen-Image)."""
    return v * (vector_norm(like, dim=-1, keepdim=True) / vector_norm(v, dim=-1, keepdim=True))
