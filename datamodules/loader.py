"""Loaders that Lightning leaves as they are.

Lightning rebuilds any ``DataLoader`` with a sampler of its own on several ranks, and for prediction. These are none,
so no flag has to be set for the batches to be the ones that the sampler chose.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any, Generic, Protocol, TypeVar

import lightning.pytorch as pl
from torch.utils.data import DataLoader

from datamodules.dataset import BatchDataset, Loaded, StreamDataset
from hpedit.scorers.rated import RatedBatch
from hpedit.types import EditBatch, PreferenceBatch

log = logging.getLogger(__name__)
Batch = TypeVar("Batch", EditBatch, PreferenceBatch, RatedBatch)


class BatchOrder(Protocol):
    """Which batches this rank takes, from ``position`` on; each is what the dataset reads a batch from."""

    position: int
    endless: bool

    @property
    def batches_per_epoch(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...

    def seek(self, position: int) -> None: ...

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: dict[str, Any]) -> None: ...


class EvalLoader(Generic[Batch]):
    """The given batches, in order, each time anew."""

    def __init__(
        self, dataset: BatchDataset[Any, Batch], batches: Sequence[list[int]], num_workers: int
    ) -> None:
        self.dataset = dataset
        self._batches = batches
        self._loader = _loader(dataset, batches, num_workers)

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Batch]:
        return (loaded.batch for loaded in self._loader)


class TrainLoader(Generic[Batch]):
    """The sampler's batches from its position on; goes on after a restart exactly where it was.

    The position counts batches handed out, not batches that workers have prefetched. ``replaced`` collects the
    records that turned out damaged when they were read, each reported once.
    """

    def __init__(
        self,
        dataset: BatchDataset[Any, Batch] | StreamDataset[Any, Batch],
        batch_sampler: BatchOrder,
        num_workers: int,
    ) -> None:
        self.dataset = dataset
        self.batch_sampler = batch_sampler
        self.replaced: dict[str, str] = {}
        self._loader = _loader(dataset, batch_sampler, num_workers)

    def __len__(self) -> int:
        if self.batch_sampler.endless:
            raise TypeError("an endless loader has no length")
        return self.batch_sampler.batches_per_epoch

    def __iter__(self) -> Iterator[Batch]:
        start = self.batch_sampler.position
        for position, loaded in enumerate(self._loader, start + 1):
            self._note(loaded)
            self.batch_sampler.seek(position)
            yield loaded.batch

    def state_dict(self) -> dict[str, Any]:
        """Return the point of the data that all ranks together have reached."""
        return self.batch_sampler.state()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after the batches of ``state``, on as many ranks as there are now."""
        self.batch_sampler.restore(state)

    def _note(self, loaded: Loaded[Batch]) -> None:
        for record, reason in loaded.replaced.items():
            if record not in self.replaced:
                self.replaced[record] = reason
                name = self.dataset.name
                log.warning(
                    "%s: %s: %s. The next good case of its bucket took its place; %d such records so far.",
                    *(name, record, reason, len(self.replaced)),
                )


def shard_of(trainer: pl.Trainer | None) -> tuple[int, int]:
    """Return (rank, number of ranks) among those that must see different data."""
    spread = trainer.distributed_sampler_kwargs if trainer is not None else None
    return (spread["rank"], spread["num_replicas"]) if spread else (0, 1)


def _loader(
    dataset: BatchDataset[Any, Batch] | StreamDataset[Any, Batch],
    batches: Sequence[list[int]] | BatchOrder,
    num_workers: int,
) -> DataLoader[Loaded[Batch]]:
    # Workers live for one iteration. Persistent ones outlive a Trainer in a reference cycle, where collecting them
    # waits five seconds for each: their queues are closed before they are told to stop.
    return DataLoader(dataset, batch_sampler=batches, num_workers=num_workers, collate_fn=_joined_already)


def _joined_already(loaded: Any) -> Any:
    return loaded
