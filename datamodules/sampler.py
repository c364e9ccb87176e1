"""Which cases make which batch: pure arithmetic of (seed, position), so any point of a run can be had again.

A batch holds cases of one bucket (aspect ratio), because pictures of one tensor share one size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count, islice
from typing import Any

import numpy as np
from torch.utils.data import Sampler


class BucketBatchSampler(Sampler[list[int]]):
    """Full batches of one bucket each, shuffled by seed, dealt out to ranks.

    There is one sequence of batches for the whole world; at its position q rank r takes batch q * world + r.

    ``endless``: the sequence never ends. Every bucket is a stream of shuffled passes over its cases, cut into
    batches; what a pass leaves over begins the bucket's first batch of the next pass, so no case is left out however
    small its bucket. A batch across the seam, or of a bucket smaller than a batch, may hold a case twice.

    Not ``endless``: an iteration is one pass in which every case appears. The last batch of a bucket is filled up
    with the bucket's first cases of the pass, and the pass with its first batches until it divides among the ranks.

    With ``weights`` a case appears weight times in a pass on average, evenly spaced; a pass that is not endless is
    then the next ``batches_per_epoch`` batches of the endless sequence.

    Args:
        buckets: the bucket of each case.
        batch_size: cases in a batch.
        seed: of all shuffles.
        shuffle: False keeps the cases' order inside buckets, and the buckets'.
        endless: see above.
        weights: how often each case appears in a pass, on average; None is once.
        rank: this rank.
        world: number of ranks.
    """

    def __init__(
        self,
        buckets: Sequence[str] | np.ndarray,
        batch_size: int,
        seed: int = 0,
        shuffle: bool = True,
        endless: bool = False,
        weights: Sequence[float] | np.ndarray | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if not len(buckets) or batch_size < 1 or not 0 <= rank < world:
            raise ValueError(
                "sampler: expected at least one case, batch_size >= 1 and 0 <= rank < world, "
                f"got {len(buckets)} cases, batch_size {batch_size}, rank {rank}, world {world}"
            )
        rate = np.ones(len(buckets)) if weights is None else np.asarray(weights, dtype=float)
        if len(rate) != len(buckets) or rate.min() < 0 or rate.sum() <= 0:
            raise ValueError("sampler: expected one weight >= 0 for each case, not all 0")
        self.batch_size, self.seed, self.shuffle, self.endless = batch_size, seed, shuffle, endless
        self.rank, self.world, self.position = rank, world, 0
        self._weighted = weights is not None
        self._members, self._rate = members_of(buckets), rate
        # Multiples of 2^-20 keep floor(pass * 1 + phase) exact.
        self._phase = self._generator(0, 0).integers(1 << 20, size=len(buckets)) / (1 << 20)

    @property
    def batches_per_epoch(self) -> int:
        """Batches of this rank that make one pass; where the sequence is endless, about one."""
        cases, per_step = self._rate.sum(), self.batch_size * self.world
        if self.endless:
            return max(1, int(cases // per_step))
        if self._weighted:
            return int(np.ceil(cases / per_step))
        return -(-sum(-(-len(m) // self.batch_size) for m in self._members) // self.world)

    def seek(self, position: int) -> None:
        """Let the next iteration begin at this rank's batch number ``position``, counted from the start of the run."""
        self.position = position

    def state(self) -> dict[str, Any]:
        """Return how many batches all ranks together have had."""
        return {"batches": self.position * self.world}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on after the batches of ``state``, on as many ranks as there are now.

        Raises ValueError where the state is that of a stream, whose order is another.
        """
        if "cursor" in state:
            raise ValueError(
                "--data.streaming: expected true, as in the run that saved the checkpoint, got false"
            )
        self.seek(state["batches"] // self.world)

    def __iter__(self) -> Iterator[list[int]]:
        if self.endless:
            yield from self._stream(self.position)
            return
        epoch, done = divmod(self.position, self.batches_per_epoch)
        if self._weighted:
            yield from islice(self._stream(self.position), self.batches_per_epoch - done)
        else:
            yield from (batch.tolist() for batch in self._pass(epoch)[self.rank :: self.world][done:])

    def _pass(self, epoch: int) -> np.ndarray:
        """Return all ranks' batches (n, batch_size) of a pass in which every case appears."""
        batches = []
        for bucket in range(len(self._members)):
            cases = self._order(bucket, epoch)
            batches.append(_filled(cases, self.batch_size).reshape(-1, self.batch_size))
        return _filled(self._shuffled(np.concatenate(batches), epoch), self.world)

    def _stream(self, position: int) -> Iterator[list[int]]:
        """Yield this rank's batches of the endless sequence, from ``position`` on."""
        first = position * self.world
        epoch = self._epoch_of(first)
        skip = first - self._batches_before(epoch)
        everyone = (batch.tolist() for e in count(epoch) for batch in self._portion(e))
        return islice(everyone, skip + self.rank, None, self.world)

    def _portion(self, epoch: int) -> np.ndarray:
        """Return the batches (n, batch_size) of the endless sequence that pass ``epoch`` completes."""
        batches = []
        for bucket in range(len(self._members)):
            cases = np.concatenate([self._carried(bucket, epoch), self._order(bucket, epoch)])
            whole = len(cases) - len(cases) % self.batch_size
            batches.append(cases[:whole].reshape(-1, self.batch_size))
        return self._shuffled(np.concatenate(batches), epoch)

    def _carried(self, bucket: int, epoch: int) -> np.ndarray:
        """Return the cases that the passes before ``epoch`` left over in a bucket."""
        size = int(self._drawn(epoch)[self._members[bucket]].sum()) % self.batch_size
        left = self._members[bucket][:0]
        while len(left) < size:
            epoch -= 1
            left = np.concatenate([self._order(bucket, epoch), left])
        return left[len(left) - size :]

    def _order(self, bucket: int, epoch: int) -> np.ndarray:
        """Return a bucket's cases in the order in which a pass takes them."""
        members = self._members[bucket]
        times = self._drawn(epoch + 1)[members] - self._drawn(epoch)[members]
        cases = np.repeat(members, times)
        return self._generator(epoch, bucket + 2).permutation(cases) if self.shuffle else cases

    def _drawn(self, epoch: int) -> np.ndarray:
        """Return how often each case was taken by the passes before ``epoch``."""
        return np.floor(epoch * self._rate + self._phase).astype(np.int64)

    def _batches_before(self, epoch: int) -> int:
        drawn = self._drawn(epoch)
        return sum(int(drawn[m].sum()) // self.batch_size for m in self._members)

    def _epoch_of(self, batch: int) -> int:
        """Return the pass that completes batch number ``batch`` of the endless sequence, by bisection."""
        high = 1
        while self._batches_before(high) <= batch:
            high *= 2
        low = high // 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._batches_before(middle) <= batch else (low, middle)
        return low

    def _shuffled(self, batches: np.ndarray, epoch: int) -> np.ndarray:
        return batches[self._generator(epoch, 1).permutation(len(batches))] if self.shuffle else batches

    def _generator(self, epoch: int, purpose: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, epoch, purpose])


def eval_batches(buckets: Sequence[str] | np.ndarray, batch_size: int, world: int = 1) -> list[list[int]]:
    """Return batches in which every case appears exactly once, as many for each of ``world`` ranks.

    Rank r takes every world-th batch from r on. The last batch of a bucket may be short, and the largest ones are
    halved until the batches divide among the ranks: sharded weights are gathered batch by batch, so a rank with one
    batch less would leave the others waiting. Raises ValueError where that cannot be.
    """
    batches = [b for members in members_of(buckets) for b in _cut(members.tolist(), batch_size)]
    while len(batches) % world:
        largest = max(range(len(batches)), key=lambda i: len(batches[i]))
        whole = batches[largest]
        if len(whole) == 1:
            raise ValueError(
                f"--data.val_batch_size {batch_size}: {len(buckets)} cases cannot be dealt out to {world} ranks in "
                "equally many batches; take a larger batch, or a number of cases that the ranks divide"
            )
        batches[largest : largest + 1] = [whole[: len(whole) // 2], whole[len(whole) // 2 :]]
    return batches


def members_of(buckets: Sequence[str] | np.ndarray) -> list[np.ndarray]:
    """Return the cases of each bucket, both in order of appearance."""
    column = buckets if isinstance(buckets, np.ndarray) else np.array([*buckets])
    _, first, which = np.unique(column, return_index=True, return_inverse=True)
    cases = np.split(np.argsort(which, kind="stable"), np.cumsum(np.bincount(which))[:-1])
    return [cases[bucket] for bucket in np.argsort(first)]


def _filled(things: np.ndarray, size: int) -> np.ndarray:
    """Return ``things``, begun again until ``size`` divides their number."""
    return np.resize(things, (-(-len(things) // size) * size, *things.shape[1:]))


def _cut(cases: list[int], size: int) -> list[list[int]]:
    return [cases[i : i + size] for i in range(0, len(cases), size)]
