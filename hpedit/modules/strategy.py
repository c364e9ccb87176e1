"""FSDP2 for Lightning: nothing to set, and small checkpoints that fit any number of processes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies import ModelParallelStrategy
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.optim import Optimizer

_SHARDED = ("state_dict", "optimizer_states")
_FOLDER = "sharded_checkpoint"  # where a sharded checkpoint's tensors are still to be read from
_METADATA = "meta.pt"  # Lightning's name of the file that holds all that is not sharded


class ShardedStrategy(ModelParallelStrategy):
    """Shards the model over all processes (FSDP2); checkpoints hold the trained weights alone.

    Lightning's own gathers and writes the frozen base too, cannot read a checkpoint without it, and matches a LoRA's
    optimizer state of one process to the wrong weights. A full checkpoint of this strategy and one of a run on a
    single device are interchangeable, on any number of processes; a sharded one becomes a full one by
    ``python -m lightning.fabric.utilities.consolidate_checkpoint FOLDER``.
    """

    def __init__(
        self,
        save_distributed_checkpoint: bool = False,
        process_group_backend: str | None = None,
        timeout_minutes: float = 30.0,
    ) -> None:
        """
        Args:
            save_distributed_checkpoint: write a folder with one file of each process instead of a single file. Pays
                when all weights are trained; a LoRA is small.
            process_group_backend: "nccl" or "gloo"; null takes the device's own.
            timeout_minutes: how long a process waits for the others before the run stops.
        """
        super().__init__(
            data_parallel_size="auto",
            tensor_parallel_size=1,
            save_distributed_checkpoint=save_distributed_checkpoint,
            process_group_backend=process_group_backend,
            timeout=timedelta(minutes=timeout_minutes),
        )

    def _setup_distributed(self) -> None:
        super()._setup_distributed()
        # Lightning's "auto" is the number of nodes; the world's size is known only now.
        self._data_parallel_size = self.world_size

    @property
    def lightning_restore_optimizer(self) -> bool:
        """Let Lightning hand the optimizer's state to ``load_optimizer_state_dict``."""
        return True

    @property
    def options(self) -> StateDictOptions:
        """How weights and optimizer states are gathered for saving: on the first process, or not at all."""
        full = not self._save_distributed_checkpoint
        return StateDictOptions(full_state_dict=full, cpu_offload=True, ignore_frozen_params=True)

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """Return the trained weights; empty on all but the first process unless the checkpoint is sharded."""
        assert self.model is not None
        return get_model_state_dict(self.model, options=self.options)

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Return the optimizer's state by names of weights, gathered as the weights are."""
        assert self.model is not None
        return get_optimizer_state_dict(self.model, _plain(optimizer), options=self.options)

    def save_checkpoint(
        self, checkpoint: dict[str, Any], filepath: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write a file, or a folder with a file of each process; a folder has its name only when it is whole."""
        if not self._save_distributed_checkpoint:
            super().save_checkpoint(checkpoint, filepath, storage_options)
            return
        path = Path(self.broadcast(filepath))
        partial = path.with_name(f".{path.name}.partial")
        dcp.save({name: checkpoint.pop(name, []) for name in _SHARDED}, checkpoint_id=partial)
        if self.is_global_zero:
            torch.save(checkpoint, partial / _METADATA)
            if path.exists():
                self.remove_checkpoint(path)
            partial.rename(path)
        self.barrier()

    def load_checkpoint(
        self, checkpoint_path: str | Path, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint, but for the tensors of a sharded one: whether it fits is to be checked first."""
        path = Path(self.broadcast(checkpoint_path))
        if path.is_file():
            return torch.load(path, map_location="cpu", mmap=True, weights_only=weights_only)
        checkpoint = torch.load(path / _METADATA, map_location="cpu", weights_only=weights_only)
        return checkpoint | {_FOLDER: str(path), "optimizer_states": []}

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Put the checkpoint's weights into the shards; the frozen ones are none of them."""
        assert self.model is not None
        weights, full = checkpoint.get("state_dict"), True
        if _FOLDER in checkpoint:
            weights, full = get_model_state_dict(self.model, options=_SHARDS), False
            dcp.load({"state_dict": weights}, checkpoint_id=checkpoint[_FOLDER])
        assert weights is not None
        options = StateDictOptions(full_state_dict=full, strict=False)
        set_model_state_dict(self.model, weights, options=options)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Put the checkpoint's optimizer states into the shards."""
        assert self.model is not None
        optimizers = [_plain(o) for o in self.optimizers]
        states = [get_optimizer_state_dict(self.model, o, options=_SHARDS) for o in optimizers]
        if _FOLDER in checkpoint:
            dcp.load({"optimizer_states": states}, checkpoint_id=checkpoint[_FOLDER])
        else:
            whole = checkpoint["optimizer_states"]
            states = [renamed(a, like=b) for a, b in zip(whole, states, strict=True)]
        options = StateDictOptions(full_state_dict=_FOLDER not in checkpoint)
        for optimizer, state in zip(optimizers, states, strict=True):
            set_optimizer_state_dict(self.model, optimizer, state, options=options)


_SHARDS = StateDictOptions(ignore_frozen_params=True)


def _plain(optimizer: Optimizer | LightningOptimizer) -> Optimizer:
    return optimizer.optimizer if isinstance(optimizer, LightningOptimizer) else optimizer


def renamed(state: dict[str, Any], like: dict[str, Any]) -> dict[str, Any]:
    """Return an optimizer state by the weights' names of ``like``, whatever it calls them: their order is the same."""
    groups = list(zip(state["param_groups"], like["param_groups"], strict=True))
    names = {old: new for a, b in groups for old, new in zip(a["params"], b["params"], strict=True)}
    return {
        "state": {names[old]: values for old, values in state["state"].items()},
        "param_groups": [a | {"params": b["params"]} for a, b in groups],
    }
