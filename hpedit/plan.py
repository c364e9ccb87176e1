"""How one round's samples are cut into updates and micro-batches."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch

Pair = tuple[int, int]
"""(sample, stochastic step) of a round on one rank."""


@dataclass(frozen=True)
class RoundPlan:
    """Numbers of one rollout round, the same for every rank and every round.

    Attributes:
        case_batches: case batches that a rank samples.
        samples: samples (N) of a rank.
        slots: micro-batches of one pass over the round's pairs on a rank.
        updates: optimizer steps of one such pass.
        inner_epochs: passes over the round's pairs.
        rows: most rows of a micro-batch.
    """

    case_batches: int
    samples: int
    slots: int
    updates: int
    inner_epochs: int
    rows: int

    @property
    def length(self) -> int:
        """Micro-batches of a round, which is the length of the loader."""
        return self.slots * self.inner_epochs

    @property
    def accumulate(self) -> int:
        """Micro-batches of an update."""
        return self.slots // self.updates


def plan_round(
    *,
    prompts_per_round: int,
    group_size: int,
    window_size: int,
    inner_epochs: int,
    micro_batch_size: int,
    batch_size: int,
    world_size: int,
    updates: int,
) -> RoundPlan:
    """Cut a round into equal parts. Raises ValueError, naming the flags, where it does not divide."""
    cases = batch_size * world_size
    if prompts_per_round % cases:
        raise ValueError(
            f"rollout.prompts_per_round: wanted a multiple of data.batch_size x ranks = {batch_size} x {world_size}, "
            f"got {prompts_per_round}"
        )
    pairs_per_batch = batch_size * group_size * window_size
    if pairs_per_batch % micro_batch_size:
        raise ValueError(
            f"micro_batch_size: wanted a divisor of data.batch_size x group_size x window size = {batch_size} x "
            f"{group_size} x {window_size} = {pairs_per_batch}, got {micro_batch_size}"
        )
    case_batches = prompts_per_round // cases
    slots = case_batches * pairs_per_batch // micro_batch_size
    if slots % updates:
        divisors = [d for d in range(1, slots + 1) if slots % d == 0]
        raise ValueError(
            f"updates_per_pass: wanted a divisor of the {slots} micro-batches that a rank sees in a round {divisors}, "
            f"got {updates}"
        )
    samples = case_batches * batch_size * group_size
    return RoundPlan(case_batches, samples, slots, updates, inner_epochs, micro_batch_size)


def cut(
    pairs: Sequence[Pair], shape: Sequence[Hashable], rows: int, draw: torch.Generator
) -> list[list[Pair]]:
    """Shuffle pairs and cut them into micro-batches of at most ``rows``, each of samples of one shape.

    Args:
        pairs: What is to be trained on.
        shape: Shape of every sample of the rank; only equal ones can share a micro-batch.
        rows: Most pairs of a micro-batch.
        draw: Source of the order, of the pairs and then of the micro-batches.
    """
    by_shape: dict[Hashable, list[Pair]] = {}
    for i in torch.randperm(len(pairs), generator=draw).tolist():
        by_shape.setdefault(shape[pairs[i][0]], []).append(pairs[i])
    batches = [some[i : i + rows] for some in by_shape.values() for i in range(0, len(some), rows)]
    return [batches[i] for i in torch.randperm(len(batches), generator=draw).tolist()]


def busy_slots(num_busy: int, slots: int, updates: int) -> list[bool]:
    """Say which of the ``slots`` micro-batches of a pass are busy, spread evenly over the updates.

    Idle ones come first within an update: the last micro-batch, in which the ranks exchange gradients, is then a
    real one wherever there is one.
    """
    per_update = slots // updates
    share, extra = divmod(num_busy, updates)
    busy: list[bool] = []
    for update in range(updates):
        n = share + (update < extra)
        busy += [False] * (per_update - n) + [True] * n
    return busy
