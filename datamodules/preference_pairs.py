"""Pairs of edits, one preferred over the other, for Diffusion-DPO."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import lightning.pytorch as pl
from torch import Tensor

from datamodules.dataset import CaseItem, join_cases, read_case
from datamodules.entries import Entry
from datamodules.loader import EvalLoader, TrainLoader
from datamodules.screening import Unsuited, checked_size, describe_case
from datamodules.selection import Selection, eval_loader, open_sets, rates, select, train_loader
from datamodules.splits import candidate_scores
from hpedit.cases import Case, Pair
from hpedit.framing import ASPECTS, Frame, fit, stack
from hpedit.records import Cases
from hpedit.types import PreferenceBatch


class PreferencePairDataModule(pl.LightningDataModule):
    """Yields PreferenceBatch, each of one aspect bucket.

    Pairs are read from the columns preferred and rejected where the data have them; otherwise the best-scored
    candidate of a case is paired with its worst. How many cases gave no pair, and why, is reported. Faulty records
    are treated as RealPrefDataModule treats them.

    Args:
        data: Pairs or scored candidates: Parquet files, a folder, or "owner/name[:split]" on the hub
            (see hpedit.records.read_cases).
        val_data: Pairs to validate on; null takes val_cases out of data.
        val_cases: Number of cases held out of data where val_data is null; their pictures are not trained on.
        min_gap: Least difference of score, on the scale 0-5, between the candidates of a pair.
        batch_size: Pairs in a training batch, per rank.
        val_batch_size: Pairs in a validation batch, per rank.
        resolution: Side in pixels of the square that has the area of an edit.
        source_resolution: The same for the pictures given to the editor; null takes resolution.
        size_multiple: Heights and widths are multiples of this; the editor says of which (16 or 32).
        buckets: Aspect ratios, width:height, quoted in YAML (which reads a bare 4:3 as a number).
        shuffle: Shuffle the training pairs.
        seed: Seed of the shuffle and of the held-out split.
        task_balance: true draws every task equally often; a mapping of task to share draws by share; false takes
            the data as they are.
        weighted: Draw each case in proportion to its weight, where the data have such a column.
        max_bad_share: Stop before the run where a larger share of the records is faulty.
        num_workers: Processes that read and decode pictures.
    """

    def __init__(
        self,
        data: str,
        val_data: str | None = None,
        val_cases: int = 0,
        min_gap: float = 1.0,
        batch_size: int = 4,
        val_batch_size: int = 4,
        resolution: int = 512,
        source_resolution: int | None = None,
        size_multiple: int = 16,
        buckets: tuple[str, ...] = ASPECTS,
        shuffle: bool = True,
        seed: int = 0,
        task_balance: bool | dict[str, float] = False,
        weighted: bool = True,
        max_bad_share: float = 0.5,
        num_workers: int = 2,
    ) -> None:
        super().__init__()
        if min_gap <= 0:
            raise ValueError(
                f"--data.min_gap: expected more than 0, or a tie would count as a preference, got {min_gap}"
            )
        self.data, self.val_data, self.val_cases, self.min_gap = data, val_data, val_cases, min_gap
        self.batch_size, self.val_batch_size, self.num_workers = batch_size, val_batch_size, num_workers
        self.shuffle, self.seed, self.task_balance = shuffle, seed, task_balance
        self.weighted, self.max_bad_share = weighted, max_bad_share
        self.frame = Frame(buckets, resolution, source_resolution or resolution, size_multiple)
        self.train_set: Selection[PreferenceBatch] | None = None
        self.train_batches: TrainLoader[PreferenceBatch] | None = None
        self.restored: dict[str, Any] = {}
        self.val_set: Selection[PreferenceBatch] | None = None

    def setup(self, stage: str) -> None:
        open_sets(self, stage)

    def train_dataloader(self) -> TrainLoader[PreferenceBatch]:
        assert self.train_set is not None
        self.train_batches = train_loader(
            self.train_set,
            self.batch_size,
            self.seed,
            self.shuffle,
            endless=False,
            weights=rates(self.train_set, self.weighted, self.task_balance),
            num_workers=self.num_workers,
            trainer=self.trainer,
        )
        if self.restored:
            self.train_batches.load_state_dict(self.restored)
        return self.train_batches

    def state_dict(self) -> dict[str, Any]:
        """Return where training is in its data. Lightning restores a loader's own state inside an epoch only."""
        return {} if self.train_batches is None else self.train_batches.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.restored = state_dict

    def val_dataloader(self) -> EvalLoader[PreferenceBatch] | list:
        if self.val_set is None:
            return []
        return eval_loader(self.val_set, self.val_batch_size, self.num_workers, self.trainer)

    def test_dataloader(self) -> EvalLoader[PreferenceBatch] | list:
        return self.val_dataloader()

    def select(self, path: str, flag: str) -> Selection[PreferenceBatch]:
        describe = partial(describe_pair, frame=self.frame, min_gap=self.min_gap)
        read = partial(read_pair, frame=self.frame)
        return select(path, flag, describe, read, join_pairs, self.max_bad_share)


@dataclass(frozen=True)
class PairItem:
    """A decoded case and the two edits of it, (3, H, W) in [0, 1]."""

    item: CaseItem
    preferred: Tensor
    rejected: Tensor


def describe_pair(cases: Cases, row: int, frame: Frame, min_gap: float) -> Entry:
    """Return the entry of a record that gives a pair. Raises Unsuited where it gives none, ValueError if faulty."""
    case = cases[row]
    entry = describe_case(case, row, frame, need_target=False)
    if not {"preferred", "rejected"} <= cases.columns:
        entry = replace(entry, chosen=best_and_worst(case, min_gap))
    pair = _pair(cases, entry)
    checked_size("preferred", pair.preferred)
    checked_size("rejected", pair.rejected)
    return entry


def best_and_worst(case: Case, min_gap: float) -> tuple[int, int]:
    """Return which candidates have the highest and the lowest score, each the mean over its scores.

    Raises Unsuited where fewer than two have one, or they are less than ``min_gap`` apart.
    """
    scores = candidate_scores(case)
    rated = {i: scores[c.cand_id] for i, c in enumerate(case.candidates) if c.cand_id in scores}
    if len(rated) < 2:
        raise Unsuited(f"no pair, fewer than two scored candidates: got {len(rated)}")
    best, worst = max(rated, key=rated.__getitem__), min(rated, key=rated.__getitem__)
    gap = rated[best] - rated[worst]
    if gap < min_gap:
        raise Unsuited(f"no pair, best and worst closer than --data.min_gap {min_gap:g}: {gap:.3g} apart")
    return best, worst


def read_pair(cases: Cases, entry: Entry, frame: Frame) -> PairItem:
    """Decode a case and its two edits. Raises BadPicture."""
    item, pair = read_case(cases, entry, frame), _pair(cases, entry)
    preferred, rejected = (fit(p.decode(), item.size) for p in (pair.preferred, pair.rejected))
    return PairItem(item, preferred, rejected)


def join_pairs(items: list[PairItem]) -> PreferenceBatch:
    """Join pairs of one bucket."""
    preferred, rejected = stack([(i.preferred, i.rejected) for i in items])
    return PreferenceBatch(join_cases([i.item for i in items]), preferred, rejected)


def _pair(cases: Cases, entry: Entry) -> Pair:
    if entry.chosen is None:
        return cases.pair(entry.row)
    case = cases[entry.row]
    preferred, rejected = (case.candidates[i].image for i in entry.chosen)
    return Pair(case, preferred, rejected)
