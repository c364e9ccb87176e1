"""Spotting edits that are just their source: the cheapest way to please a judge that looks at quality only. Pure."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import interpolate


def is_unchanged(source: Tensor, edit: Tensor, tolerance: float = 1.0) -> bool:
    """Tell whether ``edit`` equals ``source`` up to ``tolerance`` 8-bit levels of mean absolute difference.

    Both are uint8 (3, H, W); the source is resized to the edit where they differ. The default forgives 8-bit
    rounding and an autoencoder's faint noise. A correct edit of a very small object can fall under it too, so this
    is a monitor whose rise is telling, not a verdict on one edit.
    """
    before, after = source.float(), edit.float()
    if before.shape != after.shape:
        size = (int(edit.shape[-2]), int(edit.shape[-1]))
        before = interpolate(before[None], size=size, mode="bilinear", antialias=True)[0]
    return bool((before - after).abs().mean() <= tolerance)
