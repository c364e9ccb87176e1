"""Edits that people rated, for teaching a scorer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import partial

import lightning.pytorch as pl
import torch

from datamodules.entries import Entry
from datamodules.loader import EvalLoader, TrainLoader
from datamodules.screening import Unsuited, checked_size, entry_of
from datamodules.selection import Selection, eval_loader, open_sets, select, train_loader
from hpedit.cases import Case
from hpedit.images import from_pil
from hpedit.records import Cases
from hpedit.scorers.base import ScoreRequest
from hpedit.scorers.rated import RatedBatch
from hpedit.scorers.rating_losses import rating_distribution
from hpedit.tasks import canonical_task

_ANY_SHAPE = ("any",), False  # a VLM takes pictures of all shapes: there is one bucket


class RatingsDataModule(pl.LightningDataModule):
    """Yields RatedBatch: all rated edits of a few cases, so that edits of one case can be compared.

    Each case's ``humans`` are read: several raters of one edit and dimension are averaged. Faulty records are treated
    as RealPrefDataModule treats them; records without a rating in the dimensions are counted and passed over.

    Args:
        data: Rated cases: Parquet files, a folder, or "owner/name[:split]" on the hub
            (see hpedit.records.read_cases).
        val_data: Rated cases to validate on; null takes val_cases out of data.
        val_cases: Number of cases held out of data where val_data is null; their source pictures are not trained on.
        dimensions: Which dimensions of the ratings are learnt.
        top: The best rating of the scale that starts at 0: 5, or 100 for MOS.
        batch_size: Cases in a training batch, per rank.
        val_batch_size: Cases in a validation batch, per rank.
        num_workers: Processes that decode pictures.
        seed: Seed of the order of cases and of what is held out.
        max_bad_share: Share of faulty records above which the run stops.
    """

    def __init__(
        self,
        data: str,
        val_data: str | None = None,
        val_cases: int = 0,
        dimensions: tuple[str, ...] = ("overall",),
        top: float = 5.0,
        batch_size: int = 4,
        val_batch_size: int = 4,
        num_workers: int = 0,
        seed: int = 0,
        max_bad_share: float = 0.01,
    ) -> None:
        super().__init__()
        if top <= 0 or not dimensions:
            raise ValueError(f"--data: wanted top > 0 and a dimension, got {top} and {dimensions}")
        self.data, self.val_data, self.val_cases = data, val_data, val_cases
        self.dimensions, self.top = tuple(dimensions), top
        self.batch_size, self.val_batch_size = batch_size, val_batch_size
        self.num_workers, self.seed, self.max_bad_share = num_workers, seed, max_bad_share
        self.train_set: Selection[RatedBatch] | None = None
        self.val_set: Selection[RatedBatch] | None = None
        self.train_batches: TrainLoader[RatedBatch] | None = None
        self.restored: dict[str, int] = {}

    def setup(self, stage: str) -> None:
        open_sets(self, stage)

    def train_dataloader(self) -> Iterable:
        assert self.train_set is not None
        self.train_batches = loader = train_loader(
            self.train_set,
            self.batch_size,
            self.seed,
            shuffle=True,
            endless=False,
            weights=None,
            num_workers=self.num_workers,
            trainer=self.trainer,
        )
        if self.restored:
            loader.load_state_dict(self.restored)
        return loader

    def state_dict(self) -> dict[str, int]:
        return {} if self.train_batches is None else self.train_batches.state_dict()

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        self.restored = state_dict

    def val_dataloader(self) -> EvalLoader[RatedBatch] | list:
        if self.val_set is None:
            return []
        return eval_loader(self.val_set, self.val_batch_size, self.num_workers, self.trainer)

    test_dataloader = val_dataloader

    def select(self, path: str, flag: str) -> Selection[RatedBatch]:
        describe = partial(describe_rated, dimensions=self.dimensions, top=self.top)
        read = partial(read_rated, dimensions=self.dimensions, top=self.top)
        return select(path, flag, describe, read, join_rated, self.max_bad_share)


def ratings_of(case: Case, dimensions: tuple[str, ...]) -> dict[tuple[str, str], list[float]]:
    """Return the ratings of each (candidate, dimension) that has any, in the order of the candidates."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for rating in case.humans:
        found[rating.cand_id, rating.dim].append(rating.value)
    keys = [(c.cand_id, dimension) for c in case.candidates for dimension in dimensions]
    return {key: found[key] for key in keys if key in found}


def describe_rated(cases: Cases, row: int, dimensions: tuple[str, ...], top: float) -> Entry:
    """Return the entry of a rated case. Raises Unsuited without a rating, ValueError for a faulty record."""
    case = cases[row]
    rated = ratings_of(case, dimensions)
    if not rated:
        raise Unsuited(f"no rating: expected one in {', '.join(dimensions)}")
    for values in rated.values():
        rating_distribution(values, top)
    checked_size("source", case.source)
    for candidate in case.candidates:
        checked_size(f"candidate {candidate.cand_id}", candidate.image)
    task = canonical_task(case.task, "bad task")
    return entry_of(case, row, task, _ANY_SHAPE)


def read_rated(cases: Cases, entry: Entry, dimensions: tuple[str, ...], top: float) -> RatedBatch:
    """Decode a case and turn each rated (candidate, dimension) into a row. Raises BadPicture."""
    case = cases[entry.row]
    rated = ratings_of(case, dimensions)
    sources = tuple(from_pil(p.decode()) for p in (case.source, *case.references))
    wanted = {candidate for candidate, _ in rated}
    requests = {
        c.cand_id: ScoreRequest(
            case_id=case.case_id,
            task=entry.task,
            instruction=case.instruction,
            requirement=case.requirement or "",
            sources=sources,
            edit=from_pil(c.image.decode()),
        )
        for c in case.candidates
        if c.cand_id in wanted
    }
    return RatedBatch(
        requests=[requests[candidate] for candidate, _ in rated],
        dimension=[dimension for _, dimension in rated],
        target=torch.stack([rating_distribution(values, top) for values in rated.values()]),
    )


def join_rated(items: list[RatedBatch]) -> RatedBatch:
    """Join the rows of several cases."""
    return RatedBatch(
        requests=[request for item in items for request in item.requests],
        dimension=[dimension for item in items for dimension in item.dimension],
        target=torch.cat([item.target for item in items]),
    )
