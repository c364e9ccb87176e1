"""Stages of a build that keep count of what a model was paid for."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from hpedit.build.edit import Edit
from hpedit.build.kinds import CASES, ITEMS, Item, Kind
from hpedit.build.score import Score
from hpedit.build.stage import MapStage, Outcome, Work, Workers
from hpedit.cases import Case
from hpedit.sampling import EvalSettings
from hpedit.types import EditBatch
from tests.support.cases import grey_case
from tests.support.goal_editor import Goal, GoalEditor
from tests.support.scorers import Diary


@dataclass
class PaidEditor(GoalEditor):
    """A GoalEditor that takes its time and writes down, in a file, the cases that it was asked to edit."""

    ledger: str = ""
    seconds: float = 0.0

    def encode(self, batch: EditBatch, negative: bool) -> list[Goal]:
        with Path(self.ledger).open("a") as file:
            file.writelines(f"{case}\n" for case in batch.case_id)
        time.sleep(self.seconds * len(batch))
        return super().encode(batch, negative)


@dataclass(frozen=True)
class Invent:
    """Makes a case of every item."""

    chunk_rows: int = 100
    workers: Workers = Workers()
    name: ClassVar[str] = "invent"
    version: ClassVar[int] = 1
    reads: ClassVar[Kind[Item]] = ITEMS
    writes: ClassVar[Kind[Case]] = CASES

    def check(self) -> None: ...

    def open(self) -> Work[Item, Case]:
        return self._work

    def _work(self, items: Sequence[Item]) -> list[Outcome[Case]]:
        return [[grey_case(int(item.key))] for item in items]


def paid_stages(folder: Path, chunk_rows: int) -> tuple[MapStage, ...]:
    """Return stages that invent, edit (twice each) and score cases, with the ledgers ``edits`` and ``scores``."""
    edit = Edit(
        PaidEditor(ledger=str(folder / "edits"), seconds=0.02),
        EvalSettings(num_steps=1, samples_per_case=2),
        resolution=16,
        edits_at_once=2,
        device="cpu",
        chunk_rows=chunk_rows,
        workers=Workers(batch_size=2),
    )
    score = Score(
        Diary(str(folder / "scores"), seconds=0.04), chunk_rows=chunk_rows, workers=Workers(batch_size=2)
    )
    return Invent(), edit, score
