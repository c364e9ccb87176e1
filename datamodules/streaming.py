"""The order of a data set that is too large or too far away to be indexed: exact, and with nothing lost on the way.

A pass takes the shards in a shuffled order and reads each in blocks of consecutive records. A block is shuffled in
memory and cut into full batches of one bucket each; what it leaves over begins the bucket's next batch. So a pass
takes every record exactly once, and a point of the stream is a few small numbers (Cursor). A shuffle buffer, the usual
way, loses what is in it when a run is resumed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from datamodules.blocks import BlockReader, Place, StreamedCase
from datamodules.entries import Bucket


@dataclass(frozen=True)
class StreamedBatch:
    """Cases of one bucket, and one more of it that stands in where all of them are damaged."""

    cases: list[StreamedCase]
    spare: StreamedCase


@dataclass(frozen=True)
class Cursor:
    """A point of the stream.

    Attributes:
        batch: number of the batch that comes next, counted over all ranks from the start of the run.
        epoch: passes completed.
        turn: shards of this pass that are completed.
        block: the block of the shard that the next batch is cut from.
        done: batches of that block that were had.
        carried: records that earlier blocks left over, when this one began.
    """

    batch: int = 0
    epoch: int = 0
    turn: int = 0
    block: int = 0
    done: int = 0
    carried: tuple[Place, ...] = ()


@dataclass(frozen=True)
class Point:
    """A cursor with the cases that it carries, so that going on from it reads nothing again."""

    cursor: Cursor
    carried: list[StreamedCase]


class StreamBatchSampler:
    """Full batches of one bucket each, shuffled block by block, dealt out to ranks.

    There is one sequence of batches for the whole world; at its position q rank r takes batch q * world + r. Every
    rank reads all shards and decodes only its own batches, so any number of ranks goes on where another stopped.
    Records are read in this process; the workers decode them.

    Args:
        reader: the data set, in blocks.
        batch_size: cases in a batch.
        seed: of all shuffles.
        shuffle: False keeps the order of shards and records.
        batches_per_epoch: after so many batches of this rank an iteration ends, and the next goes on from there; 0 ends
            none.
        weighted: a case appears as often in a pass as its weight says, on average; False is once.
        rank: this rank.
        world: number of ranks.
    """

    def __init__(
        self,
        reader: BlockReader,
        batch_size: int,
        seed: int = 0,
        shuffle: bool = True,
        weighted: bool = True,
        batches_per_epoch: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.reader, self.batch_size, self.seed = reader, batch_size, seed
        self.shuffle, self.weighted, self.batches_per_epoch = shuffle, weighted, batches_per_epoch
        self.endless = not batches_per_epoch
        self.rank, self.world, self.position = rank, world, 0
        # By the number of the batch that comes next: the start, what was handed out last and what is prefetched.
        # They are few, because seek forgets what is behind.
        self._points = {0: Point(Cursor(), [])}

    def seek(self, position: int) -> None:
        """Let the next iteration begin at this rank's batch number ``position``, counted from the start of the run."""
        self.position = position
        near = self._nearest().cursor.batch
        self._points = {
            batch: point for batch, point in self._points.items() if batch in (0, near) or batch > near
        }

    def state(self) -> dict[str, Any]:
        """Return the point that all ranks together have reached."""
        return {"batches": self.position * self.world, "cursor": asdict(self._nearest().cursor)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on after the batches of ``state``, on as many ranks as there are now.

        Raises ValueError where the state is not that of a stream.
        """
        if "cursor" not in state:
            raise ValueError(
                "--data.streaming: expected a checkpoint of a run that streamed, got one of a run that did not"
            )
        position, kept = state["batches"] // self.world, state["cursor"]
        # Ranks that do not divide the batches so far count from a little less; what comes next stays the same.
        batch = kept["batch"] - state["batches"] + position * self.world
        places = tuple((shard, row) for shard, row in kept["carried"])
        cursor = Cursor(**kept | {"batch": batch, "carried": places})
        if batch != kept["batch"]:
            self._points.clear()  # counted anew, the start of the stream is no longer batch 0
        self._points[batch] = Point(cursor, [self.reader.case(place) for place in places])
        self.seek(position)

    def __iter__(self) -> Iterator[StreamedBatch]:
        length = self.batches_per_epoch
        return islice(self._own(), length - self.position % length if length else None)

    def _own(self) -> Iterator[StreamedBatch]:
        first = self.position * self.world
        for point, batch in self._walk(self._nearest()):
            number = point.cursor.batch - 1
            self._points[point.cursor.batch] = point
            if number >= first and number % self.world == self.rank:
                yield batch

    def _nearest(self) -> Point:
        """Return the last known point that does not lie behind the position."""
        return self._points[max(batch for batch in self._points if batch <= self.position * self.world)]

    def _walk(self, start: Point) -> Iterator[tuple[Point, StreamedBatch]]:
        """Yield the batches from a point on, each with the point after it."""
        at, carried, barren = start.cursor, start.carried, 0
        while True:
            shard = int(self._shards(at.epoch)[at.turn])
            records = self.reader.block(shard, at.block)
            if not records:
                barren += 1
                at = self._next_shard(at, barren)
                continue
            drawn = self._drawn(records, shard, at)
            barren = 0 if drawn else barren
            batches, left = cut([*carried, *drawn], self.batch_size)
            for batch in self._shuffled(batches, (at.epoch, shard, at.block, 1))[at.done :]:
                at = replace(at, batch=at.batch + 1, done=at.done + 1)
                yield Point(at, carried), batch
            carried = left
            at = replace(at, block=at.block + 1, done=0, carried=tuple(c.place for c in left))

    def _next_shard(self, at: Cursor, barren: int) -> Cursor:
        """Return the start of the next shard. Raises ValueError where none gives anything, or too much is faulty."""
        count, faults = self.reader.shards.count, self.reader.faults
        faults.check(complete=at.turn + 1 == count)
        # A small weight may well give nothing in a pass; in a hundred it is as good as none.
        if barren > 100 * count:
            raise ValueError(f"{faults}; nothing is left to train on")
        if at.turn + 1 < count:
            return replace(at, turn=at.turn + 1, block=0)
        return replace(at, epoch=at.epoch + 1, turn=0, block=0)

    def _shards(self, epoch: int) -> Sequence[int]:
        return self._shuffled(list(range(self.reader.shards.count)), (epoch, 0, 0, 2))

    def _drawn(self, records: list[StreamedCase | None], shard: int, at: Cursor) -> list[StreamedCase]:
        """Return the cases of a block in the order in which this pass takes them, each as often as it is drawn."""
        times = self._times(records, shard, at)
        cases = [case for case, n in zip(records, times, strict=True) if case for _ in range(n)]
        return self._shuffled(cases, (at.epoch, shard, at.block, 3))

    def _times(self, records: list[StreamedCase | None], shard: int, at: Cursor) -> list[int]:
        if not self.weighted:
            return [1] * len(records)
        weights = np.array([case.entry.weight if case else 0.0 for case in records])
        # The same in every pass, and in multiples of 2^-20: floor(pass * 1 + phase) is exact.
        phase = self._generator((0, shard, at.block, 4)).integers(1 << 20, size=len(records)) / (1 << 20)
        return (
            np.diff(np.floor([at.epoch * weights + phase, (at.epoch + 1) * weights + phase]), axis=0)[0]
            .astype(int)
            .tolist()
        )

    def _shuffled(self, things: list[Any], key: tuple[int, ...]) -> list[Any]:
        if not self.shuffle:
            return things
        return [things[i] for i in self._generator(key).permutation(len(things))]

    def _generator(self, key: tuple[int, ...]) -> np.random.Generator:
        return np.random.default_rng([self.seed, *key])


def cut(cases: list[StreamedCase], size: int) -> tuple[list[StreamedBatch], list[StreamedCase]]:
    """Return the full batches of each bucket, in order, and the cases that are left over."""
    buckets: dict[Bucket, list[StreamedCase]] = defaultdict(list)
    for case in cases:
        buckets[case.entry.bucket].append(case)
    batches, left = [], []
    for members in buckets.values():
        whole = len(members) - len(members) % size
        batches += [
            StreamedBatch(members[i : i + size], members[(i + size) % len(members)])
            for i in range(0, whole, size)
        ]
        left += members[whole:]
    return batches, left
