"""The steps that the data modules share: open, screen, hold out, load."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

import lightning.pytorch as pl
import numpy as np
from lightning.pytorch.utilities import rank_zero_info

from datamodules.dataset import BatchDataset
from datamodules.entries import Entries, Entry
from datamodules.loader import EvalLoader, TrainLoader, shard_of
from datamodules.sampler import BucketBatchSampler, eval_batches
from datamodules.screening import screen, warn
from datamodules.splits import draw_rates, hold_out
from hpedit.pictures import BadPicture
from hpedit.records import Cases, read_cases
from hpedit.scorers.rated import RatedBatch
from hpedit.types import EditBatch, PreferenceBatch

Batch = TypeVar("Batch", EditBatch, PreferenceBatch, RatedBatch)


@dataclass(frozen=True)
class Selection(Generic[Batch]):
    """Entries of a data set, with how they are read and joined to batches.

    Attributes:
        faults: why a faulty record was set aside, by its label, of the first hundred.
    """

    cases: Cases
    entries: Entries
    read: Callable[[Cases, Entry], Any]
    join: Callable[[list[Any]], Batch]
    faults: dict[str, str]

    def only(self, rows: Sequence[int] | np.ndarray) -> Selection[Batch]:
        """Return the selection of the entries at ``rows``."""
        return replace(self, entries=self.entries.only(rows))


def select(
    path: str,
    flag: str,
    describe: Callable[[Cases, int], Entry],
    read: Callable[[Cases, Entry], Any],
    join: Callable[[list[Any]], Batch],
    max_bad_share: float,
) -> Selection[Batch]:
    """Open the data set of a flag, screen it and report what was set aside.

    Raises ValueError that names the flag where too little is left.
    """
    screening = screen(read_cases(path, flag), describe)
    screening.report(max_bad_share)
    return Selection(screening.cases, screening.entries, read, join, screening.bad.named)


def split(selection: Selection[Batch], count: int, seed: int) -> tuple[Selection[Batch], Selection[Batch]]:
    """Hold out ``count`` cases, so that no source picture is on both sides, and return (training, held out)."""
    entries = selection.entries
    train, held = hold_out(entries.tasks, entries.table["picture"], count, seed)
    lost = len(entries) - len(train) - len(held)
    rank_zero_info(
        f"--data.val_cases: {len(held)} cases held out, {len(train)} for training, "
        f"{lost} in neither because they share a picture with the held-out ones."
    )
    return selection.only(train), selection.only(held)


def verified(selection: Selection[Batch]) -> Selection[Batch]:
    """Read every entry once and set aside what turns out damaged, so that an evaluation is complete and exact.

    Raises ValueError where nothing is left.
    """
    good, faults = [], {}
    for place, entry in enumerate(selection.entries):
        try:
            selection.read(selection.cases, entry)
            good.append(place)
        except BadPicture as error:
            faults[selection.cases.label(entry.row)] = str(error)
    if faults:
        listed = "; ".join(f"{record}: {reason}" for record, reason in faults.items())
        text = f"{selection.cases.name}: {len(faults)} of {len(selection.entries)} pictures are damaged: {listed}."
        if not good:
            raise ValueError(text)
        warn(f"{text} These cases are not evaluated.")
    return replace(selection.only(good), faults=selection.faults | faults)


class TwoSets(Protocol[Batch]):
    """A data module with a training set, and a validation set that is taken out of it or is data of its own."""

    data: str
    val_data: str | None
    val_cases: int
    seed: int
    train_set: Selection[Batch] | None
    val_set: Selection[Batch] | None

    def select(self, path: str, flag: str) -> Selection[Batch]:
        """Open and screen the data set of a flag."""
        ...


def open_sets(module: TwoSets[Batch], stage: str) -> None:
    """Open and screen what ``stage`` needs, once. Raises ValueError that names the flag."""
    if module.train_set is None and (stage == "fit" or module.val_data is None):
        module.train_set = module.select(module.data, "--data.data")
        if module.val_data is None and module.val_cases > 0:
            module.train_set, held_out = split(module.train_set, module.val_cases, module.seed)
            module.val_set = verified(held_out)
    if module.val_set is None and module.val_data is not None:
        module.val_set = verified(module.select(module.val_data, "--data.val_data"))
    if module.val_set is None and stage != "fit":
        raise ValueError(f"{stage}: expected --data.val_data, or --data.val_cases above 0, got neither")


def rates(
    selection: Selection[Batch], weighted: bool, balance: bool | Mapping[str, float]
) -> np.ndarray | None:
    """Return how often a pass draws each entry. See draw_rates."""
    entries = selection.entries
    return draw_rates(entries.tasks, entries.table["weight"] if weighted else np.ones(len(entries)), balance)


def train_loader(
    selection: Selection[Batch],
    batch_size: int,
    seed: int,
    shuffle: bool,
    endless: bool,
    weights: np.ndarray | None,
    num_workers: int,
    trainer: pl.Trainer | None,
) -> TrainLoader[Batch]:
    """Return this rank's loader of full batches; damaged records are replaced, reported and counted."""
    rank, world = shard_of(trainer)
    overfit: int | float = getattr(trainer, "overfit_batches", 0)
    if overfit:
        # Lightning would do this by a sampler of its own; here the data shrink and the order stays ours.
        selection = _first_batches(selection, batch_size, world, overfit)
    buckets = selection.entries.table["bucket"]
    sampler = BucketBatchSampler(buckets, batch_size, seed, shuffle, endless, weights, rank, world)
    dataset = BatchDataset(selection.cases, selection.entries, selection.read, selection.join, exact=False)
    return TrainLoader(dataset, sampler, num_workers)


def eval_loader(
    selection: Selection[Batch], batch_size: int, num_workers: int, trainer: pl.Trainer | None
) -> EvalLoader[Batch]:
    """Return this rank's share of all entries, each exactly once over all ranks."""
    rank, world = shard_of(trainer)
    batches = eval_batches(selection.entries.table["bucket"], batch_size, world)[rank::world]
    dataset = BatchDataset(selection.cases, selection.entries, selection.read, selection.join, exact=True)
    return EvalLoader(dataset, batches, num_workers)


def _first_batches(
    selection: Selection[Batch], batch_size: int, world: int, wanted: int | float
) -> Selection[Batch]:
    """Return the cases of the first ``wanted`` batches of each rank, or of that fraction of all batches."""
    batches = eval_batches(selection.entries.table["bucket"], batch_size)
    count = wanted * world if isinstance(wanted, int) else math.ceil(wanted * len(batches))
    return selection.only(sorted(i for batch in batches[: int(count)] for i in batch))
