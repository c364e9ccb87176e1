"""Qwen-Image's autoencoder is a video one; for a single picture its convolutions need a third of the work."""

from __future__ import annotations

from typing import cast

import torch.nn.functional as F
from diffusers.models.autoencoders.autoencoder_kl_qwenimage import QwenImageCausalConv3d
from torch import Tensor, nn


class SingleFrameConv3d(QwenImageCausalConv3d):
    """The same convolution, which skips the frames of zeros before the first one."""

    def forward(self, x: Tensor, cache_x: Tensor | None = None) -> Tensor:
        if x.shape[2] != 1 or cache_x is not None:
            return super().forward(x, cache_x)
        stride = cast(tuple[int, int, int], self.stride)[1:]
        width, _, height = cast(tuple[int, ...], self._padding)[:3]
        return F.conv2d(x[:, :, 0], self.weight[:, :, -1], self.bias, stride, (height, width))[:, :, None]


def skip_empty_frames(module: nn.Module) -> None:
    """Let every causal convolution in ``module`` work in two dimensions on single frames, in place.

    The result differs by rounding only; parameters, their names and longer clips are not touched.
    """
    for layer in module.modules():
        if type(layer) is QwenImageCausalConv3d:
            layer.__class__ = SingleFrameConv3d
