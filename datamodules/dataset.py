"""From entries to batches: pictures are decoded here, in the workers, and nowhere earlier."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from datamodules.blocks import StreamedCase, label
from datamodules.entries import Entries, Entry
from datamodules.streaming import StreamedBatch
from hpedit.cases import Case
from hpedit.framing import Frame, fit, stack
from hpedit.pictures import BadPicture
from hpedit.records import Cases
from hpedit.scorers.rated import RatedBatch
from hpedit.types import EditBatch, PreferenceBatch

Item = TypeVar("Item")
Batch = TypeVar("Batch", EditBatch, PreferenceBatch, RatedBatch)


@dataclass(frozen=True)
class CaseItem:
    """One case, decoded: R source pictures (3, H_r, W_r) and the target (3, H, W) if there is one, in [0, 1]."""

    entry: Entry
    case: Case
    sources: list[Tensor]
    size: tuple[int, int]
    target: Tensor | None


@dataclass(frozen=True)
class Loaded(Generic[Batch]):
    """A batch, and why records that belonged in it were replaced, by record."""

    batch: Batch
    replaced: dict[str, str]


class BatchDataset(Dataset, Generic[Item, Batch]):
    """Reads whole batches. A record that turns out damaged is replaced by the next good one of its bucket.

    So a batch stays full, and what is in it depends on the data alone: not on workers, ranks or where a run resumed.
    ``exact``: no replacement; a damaged record raises ValueError.
    """

    def __init__(
        self,
        cases: Cases,
        entries: Entries,
        read: Callable[[Cases, Entry], Item],
        join: Callable[[list[Item]], Batch],
        exact: bool,
    ) -> None:
        self.cases, self.entries = cases, entries
        self.read, self.join, self.exact = read, join, exact

    @property
    def name(self) -> str:
        return self.cases.name

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Loaded[Batch]:
        return self.__getitems__([index])

    def __getitems__(self, indices: list[int]) -> Loaded[Batch]:
        replaced: dict[str, str] = {}
        items = [self._first_good(i, replaced) for i in indices]
        return Loaded(self.join(items), replaced)

    def _first_good(self, index: int, replaced: dict[str, str]) -> Item:
        for i in self._from(index):
            try:
                return self.read(self.cases, self.entries[i])
            except BadPicture as error:
                name = self.cases.label(self.entries[i].row)
                if self.exact:
                    raise ValueError(f"{self.cases.name}: {name}: {error}") from error
                replaced[name] = str(error)
        raise ValueError(f"{self.name}: no readable record is left in a bucket: {_listed(replaced)}")

    def _from(self, index: int) -> Iterator[int]:
        """Yield ``index``, then the others of its bucket in their order, once around."""
        yield index
        buckets = self.entries.table["bucket"]
        alike = np.flatnonzero(buckets == buckets[index])
        place = int(np.searchsorted(alike, index))
        yield from (int(i) for i in (*alike[place + 1 :], *alike[:place]))


class StreamDataset(Dataset, Generic[Item, Batch]):
    """Reads streamed batches. A damaged record is replaced by a good one of its batch, or by the spare."""

    def __init__(
        self, name: str, read: Callable[[Case, Entry], Item], join: Callable[[list[Item]], Batch]
    ) -> None:
        self.name, self.read, self.join = name, read, join

    def __getitems__(self, batch: StreamedBatch) -> Loaded[Batch]:
        replaced: dict[str, str] = {}
        ring = [*batch.cases, batch.spare]
        items = [self._first_good([*ring[i:], *ring[:i]], replaced) for i in range(len(batch.cases))]
        return Loaded(self.join(items), replaced)

    def _first_good(self, cases: list[StreamedCase], replaced: dict[str, str]) -> Item:
        for streamed in cases:
            try:
                return self.read(streamed.case, streamed.entry)
            except BadPicture as error:
                replaced[f"{label(streamed.place)} ({streamed.case.case_id})"] = str(error)
        raise ValueError(f"{self.name}: no readable record is left in a batch: {_listed(replaced)}")


def _listed(replaced: dict[str, str]) -> str:
    return "; ".join(f"{record}: {reason}" for record, reason in replaced.items())


def read_case(cases: Cases, entry: Entry, frame: Frame) -> CaseItem:
    """Decode a case of a data set. See decode_case."""
    return decode_case(cases[entry.row], entry, frame)


def decode_case(case: Case, entry: Entry, frame: Frame) -> CaseItem:
    """Decode the pictures of a case and bring them to their bucket's sizes. Raises BadPicture."""
    aspects, _ = entry.bucket
    size = frame.edit_size(aspects[0])
    return CaseItem(
        entry=entry,
        case=case,
        sources=[
            fit(picture.decode(), frame.source_size(aspect))
            for picture, aspect in zip((case.source, *case.references), aspects, strict=True)
        ],
        size=size,
        target=None if case.target is None else fit(case.target.decode(), size),
    )


def join_cases(items: list[CaseItem]) -> EditBatch:
    """Join cases of one bucket."""
    targets = [item.target for item in items if item.target is not None]
    return EditBatch(
        case_id=[item.case.case_id for item in items],
        task=[item.entry.task for item in items],
        instruction=[item.case.instruction for item in items],
        requirement=[item.case.requirement or "" for item in items],
        sources=stack([item.sources for item in items]),
        size=items[0].size,
        target=torch.stack(targets) if targets else None,
    )
