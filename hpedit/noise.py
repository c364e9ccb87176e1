"""Random numbers that depend on what they are for, not on when they are drawn.

Every draw has its own generator, seeded by a key such as (seed, round, case id, sample). A run resumed at a round,
or spread over another number of ranks, draws the same noise for the same sample. A case that comes more than once in
a round has an occurrence in its key as well (``case_key``).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Hashable, Iterable

import torch
from torch import Tensor


def key_number(*key: int | str) -> int:
    """Return a number in [0, 2^63) that stands for ``key``."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def keyed_generator(*key: int | str) -> torch.Generator:
    """Return a CPU generator seeded by ``key``; equal keys give equal generators."""
    return torch.Generator().manual_seed(key_number(*key))


def keyed_noise(shape: tuple[int, ...], *key: int | str) -> Tensor:
    """Return standard normal float32 noise of ``shape`` on the CPU, drawn from the key's own generator."""
    return torch.randn(shape, generator=keyed_generator(*key))


def case_key(case_id: str, earlier: int) -> tuple[int | str, ...]:
    """Return the part of a key that stands for a case that came ``earlier`` times before in the same round.

    Without it the second group of a case would be the first once more, and its gradient would count twice.
    """
    return (case_id, "again", earlier) if earlier else (case_id,)


def earlier_occurrences(keys: Iterable[Hashable]) -> list[int]:
    """Return, for each of ``keys``, how many of those before it are equal to it."""
    seen: Counter[Hashable] = Counter()
    earlier = []
    for key in keys:
        earlier.append(seen[key])
        seen[key] += 1
    return earlier
