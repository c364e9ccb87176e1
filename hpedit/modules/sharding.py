"""FSDP2 sharding of an editor's transformer, block by block, the adapter apart from its frozen base.

All parameters that FSDP2 gathers together must have one dtype, and an editor has a bf16 base under an fp32 adapter.
So the adapter of a block is a group of its own. Nothing is cast or kept twice, the adapter's optimizer state is
sharded like the rest, only the adapter's group ever exchanges gradients, and every weight is a DTensor, so that
clipping, checkpoints and averages need no second path. The price is one small gather more for each block.
"""

from __future__ import annotations

from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard

from hpedit.lora import lora_layers


def transformer_blocks(transformer: nn.Module) -> list[nn.Module]:
    """Return the repeated blocks of a diffusers transformer, in order of the forward pass."""
    lists = [m for m in transformer.children() if isinstance(m, nn.ModuleList)]
    return [block for blocks in lists for block in blocks]


def shard_transformer(transformer: nn.Module, mesh: DeviceMesh) -> None:
    """Shard each block, then what remains, over the data-parallel mesh. In place.

    The outermost group is resharded after the forward pass too (by default FSDP2 leaves it whole): outside of a
    forward and backward pass every weight is a shard, whatever ran last.
    """
    for part in [*transformer_blocks(transformer), transformer]:
        if adapter := unsharded_adapter(part):
            fully_shard(adapter, mesh=mesh, reshard_after_forward=True)
        fully_shard(part, mesh=mesh, reshard_after_forward=True)


def unsharded_adapter(part: nn.Module) -> list[nn.Module]:
    """Return the adapter's linear layers inside ``part`` that no group holds yet."""
    matrices = [
        matrix
        for layer in lora_layers(part)
        for kind in ("lora_A", "lora_B")
        for matrix in getattr(layer, kind).values()
    ]
    return [matrix for matrix in matrices if not isinstance(matrix, FSDPModule)]
