"""Cases to edit, for online post-training, supervised fine-tuning and evaluation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import lightning.pytorch as pl
import numpy as np
from lightning.pytorch.utilities import rank_zero_info

from datamodules.blocks import BlockReader, StreamFaults
from datamodules.dataset import StreamDataset, decode_case, join_cases, read_case
from datamodules.entries import Entry
from datamodules.loader import EvalLoader, TrainLoader, shard_of
from datamodules.screening import Unsuited, describe_case
from datamodules.selection import Selection, eval_loader, rates, select, split, train_loader, verified
from datamodules.splits import ScoreRule, case_score, kept_share
from datamodules.streaming import StreamBatchSampler
from hpedit.cases import Case
from hpedit.framing import ASPECTS, Frame
from hpedit.records import Cases
from hpedit.shards import Shards, open_shards
from hpedit.types import EditBatch


class RealPrefDataModule(pl.LightningDataModule):
    """Yields EditBatch, each of one aspect bucket; pictures are cut to it in the centre, never squashed.

    Every record is looked at once before the run: faulty ones are set aside, named and counted. A picture whose
    damage shows only when it is decoded is replaced, in training, by the next good case of its bucket, and named;
    evaluation data are decoded once beforehand instead, so that a score is over exactly the good cases.

    With streaming, training cases are read as they come, from this machine or the hub, and nothing is looked at
    beforehand or kept on disk: the shuffle is by shards and blocks of records, a Lightning epoch is epoch_batches
    batches, and what needs all records at once (task_balance, val_cases, the check for duplicate ids) cannot be had.
    Every rank reads the whole stream and decodes its own batches. A run goes on exactly either way, on any number of
    workers and ranks.

    Args:
        data: Cases to train on: Parquet files, a folder, or "owner/name[:split]" on the hub
            (see hpedit.records.read_cases).
        val_data: Cases to validate and test on; null takes val_cases out of data.
        val_cases: Number of cases held out of data where val_data is null; their pictures are not trained on.
        predict_data: Cases to predict; null predicts the validation cases.
        batch_size: Cases in a training batch, per rank.
        val_batch_size: Cases in a batch of validation, test and prediction, per rank.
        resolution: Side in pixels of the square that has the area of an edit.
        source_resolution: The same for the pictures given to the editor; null takes resolution.
        size_multiple: Heights and widths are multiples of this; the editor says of which (16 or 32).
        buckets: Aspect ratios, width:height, quoted in YAML (which reads a bare 4:3 as a number).
        shuffle: Shuffle the training cases.
        seed: Seed of the shuffle and of the held-out split.
        task_balance: true draws every task equally often; a mapping of task to share draws by share; false takes
            the data as they are.
        weighted: Draw each case in proportion to its weight, where the data have such a column; a build gives hard
            cases more. With task_balance, in proportion inside each task.
        streaming: Read training cases as they come; see above.
        block_rows: Streaming only: records that are shuffled together. Two blocks are in memory, encoded.
        epoch_batches: Streaming only: batches in an epoch, per rank, where the module trains on the cases themselves.
        max_score: Leave out of training the cases whose stored HP-Score is at least this. An expectation seldom
            reaches 5, so 4.5 is a good choice; cases without a score stay; null keeps all.
        score_rule: The stored score of a case is the mean or the best of its candidates', where a candidate's is the
            mean over its scores.
        need_target: Use only cases with an edited picture, as supervised fine-tuning needs.
        max_bad_share: Stop before the run where a larger share of the records is faulty.
        num_workers: Processes that read and decode pictures.
    """

    def __init__(
        self,
        data: str,
        val_data: str | None = None,
        val_cases: int = 0,
        predict_data: str | None = None,
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
        streaming: bool = False,
        block_rows: int = 512,
        epoch_batches: int = 1000,
        max_score: float | None = None,
        score_rule: ScoreRule = "mean",
        need_target: bool = False,
        max_bad_share: float = 0.5,
        num_workers: int = 2,
    ) -> None:
        super().__init__()
        if streaming and (task_balance or val_cases):
            flag = "task_balance" if task_balance else "val_cases"
            raise ValueError(
                f"--data.{flag}: expected none with --data.streaming, which sees no record beforehand"
            )
        for flag, value in (("block_rows", block_rows), ("epoch_batches", epoch_batches)):
            if value < 1:
                raise ValueError(f"--data.{flag}: expected at least 1, got {value}")
        self.data, self.val_data, self.val_cases, self.predict_data = data, val_data, val_cases, predict_data
        self.batch_size, self.val_batch_size, self.num_workers = batch_size, val_batch_size, num_workers
        self.shuffle, self.seed, self.task_balance = shuffle, seed, task_balance
        self.weighted, self.streaming = weighted, streaming
        self.block_rows, self.epoch_batches = block_rows, epoch_batches
        self.max_score, self.need_target, self.max_bad_share = max_score, need_target, max_bad_share
        self.score_rule: ScoreRule = score_rule
        self.frame = Frame(buckets, resolution, source_resolution or resolution, size_multiple)
        self.train_set: Selection[EditBatch] | None = None
        self.train_batches: TrainLoader[EditBatch] | None = None
        self.stream: Shards | None = None
        self.restored: dict[str, Any] = {}
        self.val_set: Selection[EditBatch] | None = None
        self.predict_set: Selection[EditBatch] | None = None

    def setup(self, stage: str) -> None:
        """Open and screen what ``stage`` needs, once. Raises ValueError that names the flag."""
        if stage == "predict" and self.predict_data is not None:
            self.predict_set = verified(self._select(self.predict_data, "--data.predict_data"))
            return
        if self.streaming:
            self.stream = open_shards(self.data, "--data.data") if stage == "fit" else None
        elif self.train_set is None and (stage == "fit" or self.val_data is None):
            self._open_data()
        if self.val_set is None and self.val_data is not None:
            self.val_set = verified(self._select(self.val_data, "--data.val_data"))
        if self.val_set is None and stage != "fit":
            raise ValueError(f"{stage}: expected --data.val_data, or --data.val_cases above 0, got neither")
        self.predict_set = self.val_set

    def train_dataloader(self) -> Iterable:
        """Return the training cases; endless where the module turns cases into what it trains on, else by passes."""
        module = self.trainer.lightning_module if self.trainer is not None else None
        wrap = getattr(module, "rollout_loader", None)
        make = self._stream_loader if self.streaming else self._indexed_loader
        loader = make(endless=wrap is not None)
        if self.restored:
            loader.load_state_dict(self.restored)
        self.train_batches = loader
        return wrap(loader) if wrap else loader

    def _indexed_loader(self, endless: bool) -> TrainLoader[EditBatch]:
        assert self.train_set is not None
        return train_loader(
            self.train_set,
            self.batch_size,
            self.seed,
            self.shuffle,
            endless=endless,
            weights=rates(self.train_set, self.weighted, self.task_balance),
            num_workers=self.num_workers,
            trainer=self.trainer,
        )

    def _stream_loader(self, endless: bool) -> TrainLoader[EditBatch]:
        assert self.stream is not None
        if getattr(self.trainer, "overfit_batches", 0):
            raise ValueError(
                "--trainer.overfit_batches: expected 0 with --data.streaming, which has no first batches"
            )
        faults = StreamFaults(self.stream.name, self.max_bad_share)
        reader = BlockReader(self.stream, self._describe_unsolved, self.block_rows, faults)
        rank, world = shard_of(self.trainer)
        order = StreamBatchSampler(
            reader,
            self.batch_size,
            self.seed,
            self.shuffle,
            self.weighted,
            batches_per_epoch=0 if endless else self.epoch_batches,
            rank=rank,
            world=world,
        )
        dataset = StreamDataset(self.stream.name, partial(decode_case, frame=self.frame), join_cases)
        return TrainLoader(dataset, order, self.num_workers)

    def state_dict(self) -> dict[str, Any]:
        """Return where training is in its data. Lightning restores a loader's own state inside an epoch only."""
        return {} if self.train_batches is None else self.train_batches.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.restored = state_dict

    def val_dataloader(self) -> EvalLoader[EditBatch] | list:
        return self._eval(self.val_set)

    def test_dataloader(self) -> EvalLoader[EditBatch] | list:
        return self._eval(self.val_set)

    def predict_dataloader(self) -> EvalLoader[EditBatch] | list:
        return self._eval(self.predict_set)

    def _eval(self, selection: Selection[EditBatch] | None) -> EvalLoader[EditBatch] | list:
        if selection is None:
            return []
        return eval_loader(selection, self.val_batch_size, self.num_workers, self.trainer)

    def _open_data(self) -> None:
        selection = self._select(self.data, "--data.data")
        if self.val_data is None and self.val_cases > 0:
            selection, held_out = split(selection, self.val_cases, self.seed)
            self.val_set = verified(held_out)
        self.train_set = self._drop_solved(selection)

    def _select(self, path: str, flag: str) -> Selection[EditBatch]:
        read = partial(read_case, frame=self.frame)
        return select(path, flag, self._describe_row, read, join_cases, self.max_bad_share)

    def _describe_row(self, cases: Cases, row: int) -> Entry:
        return self._describe(cases[row], row)

    def _describe(self, case: Case, row: int) -> Entry:
        entry = describe_case(case, row, self.frame, self.need_target)
        return replace(entry, score=case_score(case, self.score_rule))

    def _describe_unsolved(self, case: Case, row: int) -> Entry:
        """Describe a streamed case. Raises Unsuited where it is solved already, or else as screening does."""
        entry = self._describe(case, row)
        if self.max_score is not None and entry.score is not None and entry.score >= self.max_score:
            raise Unsuited(f"solved: score {entry.score:.3g}")
        return entry

    def _drop_solved(self, selection: Selection[EditBatch]) -> Selection[EditBatch]:
        """Keep the cases that are not solved yet (the paper's hard-case filter), and report the kept share by task."""
        limit = self.max_score
        if limit is None:
            return selection
        entries = selection.entries
        keep = ~(entries.table["score"] >= limit)  # NaN, where there is no score, stays
        shares = kept_share(entries.tasks, keep.tolist())
        by_task = ", ".join(f"{task} {stayed}/{total}" for task, (stayed, total) in shares.items())
        text = f"--data.max_score {limit:g} ({self.score_rule}): kept {keep.sum()} of {len(keep)} cases ({by_task})"
        if not keep.any():
            raise ValueError(f"{text}; nothing is left to train on")
        rank_zero_info(text)
        return selection.only(np.flatnonzero(keep))
