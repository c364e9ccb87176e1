"""Random numbers that depend on what they are for, not on when they are drawn.

Every draw has its own generator, seeded by a key such as (seed, round, case id, sample). A run resumed at a round,
or spread over another number of ranks, draws the same noise for the same sample.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor


def keyed_generator(*key: int | str) -> torch.Generator:
    """Return a CPU generator seeded by ``key``; equal keys give equal generators."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)


def keyed_noise(shape: tuple[int, ...], *key: int | str) -> Tensor:
    """Return standard normal float32 noise of ``shape`` on the CPU, drawn from the key's own generator."""
    return torch.randn(shape, generator=keyed_generator(*key))
