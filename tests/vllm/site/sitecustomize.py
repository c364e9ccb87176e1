"""On the PYTHONPATH of the vLLM tests: lets a torchvision built for CUDA be imported beside a torch built for CPUs.

Its compiled operators cannot be loaded there. Two of them are looked up while it is imported, and no scorer calls
them, so a declaration without an implementation will do; a call would fail loudly.
"""

from importlib.metadata import version

import torch

if "+cpu" in version("torch") and "+cpu" not in version("torchvision"):
    _library = torch.library.Library("torchvision", "DEF")
    _library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _library.define(
        "qnms(Tensor dets, Tensor scores, float dets_scale, int dets_zero_point, "
        "float scores_scale, int scores_zero_point, float iou_threshold) -> Tensor"
    )
