"""The adapter on disk: in diffusers' format, and with the key names that ComfyUI reads."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

# peft's name of the one adapter; it is part of the parameters' names.
ADAPTER = "default"

DIFFUSERS_FILE = "pytorch_lora_weights.safetensors"
COMFYUI_FILE = "comfyui_lora.safetensors"

# ComfyUI keeps Qwen-Image's own layer names, and maps FLUX's diffusers names to its fused layers.
_COMFYUI_PREFIXES = {
    "QwenImageTransformer2DModel": "diffusion_model",
    "FluxTransformer2DModel": "transformer",
}
_METADATA_KEY = "lora_adapter_metadata"
_PREFIX = "transformer."


def trainable_state_dict(module: nn.Module) -> dict[str, Tensor]:
    """Return the trained parameters by name, detached, sharing memory with the module."""
    return {name: p.detach() for name, p in module.named_parameters() if p.requires_grad}


def save_lora(
    transformer: nn.Module, folder: str | Path, weights: Mapping[str, Tensor] | None = None
) -> Path:
    """Write the adapter so that ``pipeline.load_lora_weights(folder)`` reads it, and return the file.

    The file appears whole or not at all. Under FSDP every rank must call this, or hand in gathered weights.

    Args:
        transformer: network with an adapter.
        folder: is made if needed.
        weights: written in place of the adapter's own, by the names of ``trainable_state_dict`` (an average).
    """
    layers = _layer_weights(transformer, weights)
    tensors = {f"{_PREFIX}{name}": tensor for name, tensor in layers.items()}
    config = {f"{_PREFIX}{key}": value for key, value in _settings(transformer).items()}
    return _write(tensors, Path(folder) / DIFFUSERS_FILE, {_METADATA_KEY: json.dumps(config, sort_keys=True)})


def save_lora_comfyui(
    transformer: nn.Module, folder: str | Path, weights: Mapping[str, Tensor] | None = None
) -> Path:
    """Write the adapter with ComfyUI's key names and an alpha for every layer, and return the file.

    Arguments as for ``save_lora``. Raises ValueError for a transformer whose names ComfyUI is not known to read.
    """
    kind = type(transformer).__name__
    if kind not in _COMFYUI_PREFIXES:
        raise ValueError(f"ComfyUI export: wanted one of {', '.join(_COMFYUI_PREFIXES)}, got {kind}")
    prefix, alpha = _COMFYUI_PREFIXES[kind], _settings(transformer)["lora_alpha"]
    tensors: dict[str, Tensor] = {}
    for name, tensor in _layer_weights(transformer, weights).items():
        tensors[f"{prefix}.{name}"] = tensor
        layer = name.rsplit(".lora_", 1)[0]
        tensors[f"{prefix}.{layer}.alpha"] = torch.tensor(float(alpha))
    return _write(tensors, Path(folder) / COMFYUI_FILE, {})


def load_lora(transformer: nn.Module, folder: str | Path) -> None:
    """Read what ``save_lora`` wrote into the adapter that ``transformer`` has, before it is sharded.

    Raises ValueError that names the file where there is none, or it is of another editor, rank or scale.
    """
    path = Path(folder) / DIFFUSERS_FILE
    if not path.is_file():
        raise ValueError(f"adapter: no such file: {path}")
    own = _layer_parameters(transformer)
    with safe_open(path, framework="pt") as file:
        found = {name.removeprefix(_PREFIX): file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        stored = json.loads((file.metadata() or {}).get(_METADATA_KEY, "{}"))
    _check_layers(path, set(own), set(found))
    settings = _settings(transformer)
    for key, flag in (("r", "rank"), ("lora_alpha", "alpha")):
        value = stored.get(f"{_PREFIX}{key}", settings[key])
        if value != settings[key]:
            raise ValueError(f"{path}: lora.{flag}: wanted {settings[key]}, got {value}")
    for name, parameter in own.items():
        if parameter.shape != found[name].shape:
            wanted, got = tuple(parameter.shape), tuple(found[name].shape)
            raise ValueError(f"{path}: {name}: wanted shape {wanted}, got {got} (another rank or editor)")
        parameter.data.copy_(found[name])


def _check_layers(path: Path, own: set[str], found: set[str]) -> None:
    if own == found:
        return
    missing, extra = sorted(own - found)[:1], sorted(found - own)[:1]
    raise ValueError(
        f"{path}: the adapter of another editor or of other targets: wanted {len(own)} tensors, got {len(found)}; "
        f"first one missing: {missing}, first one too many: {extra}"
    )


def _settings(transformer: nn.Module) -> dict[str, Any]:
    """Return what a reader needs to rebuild the adapter; nothing that only some versions of peft know."""
    configs: Any = transformer.peft_config
    config = configs[ADAPTER]
    # Whole names: ends of names would also match the layers that the adapter passed over.
    layers = {name.rsplit(".lora_", 1)[0] for name in _layer_parameters(transformer)}
    return {"r": config.r, "lora_alpha": config.lora_alpha, "target_modules": sorted(layers)}


def _layer_parameters(transformer: nn.Module) -> dict[str, Tensor]:
    """Return the adapter's parameters under the names of its files: "<layer>.lora_A.weight"."""
    layers: dict[str, Tensor] = {
        _file_name(name): p for name, p in transformer.named_parameters() if f".{ADAPTER}." in name
    }
    if not layers:
        raise ValueError("adapter: the transformer has none; add_lora comes first")
    return layers


def _layer_weights(transformer: nn.Module, weights: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
    """Return contiguous CPU copies of the weights, whole where they are sharded."""
    expected = _layer_parameters(transformer)
    given = trainable_state_dict(transformer) if weights is None else weights
    named = {_file_name(name): tensor for name, tensor in given.items()}
    if set(named) != set(expected):
        raise ValueError(f"weights: wanted the {len(expected)} of the adapter, got {len(named)} other ones")
    return {name: _whole(tensor).detach().cpu().clone().contiguous() for name, tensor in named.items()}


def _file_name(name: str) -> str:
    return name.replace(f".{ADAPTER}.", ".")


def _whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def _write(tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str]) -> Path:
    """Write a safetensors file by way of a second one, so that a full disk leaves the previous one alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial-{os.getpid()}")
    try:
        save_file(dict(tensors), partial, metadata={"format": "pt", **metadata})
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path
