"""FSDP2 sharding of an editor's transformer, block by block."""

from __future__ import annotations

from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard


def transformer_blocks(transformer: nn.Module) -> list[nn.Module]:
    """Return the repeated blocks of a diffusers transformer, in order of the forward pass."""
    lists = [m for m in transformer.children() if isinstance(m, nn.ModuleList)]
    return [block for blocks in lists for block in blocks]


def shard_transformer(transformer: nn.Module, mesh: DeviceMesh) -> None:
    """Shard each block, then what remains, over the data-parallel mesh. In place."""
    for block in transformer_blocks(transformer):
        fully_shard(block, mesh=mesh)
    fully_shard(transformer, mesh=mesh)
