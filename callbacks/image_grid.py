"""TensorBoard pictures: source beside edit, with the instruction and the score under them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
import numpy as np
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from hpedit.images import to_pil
from hpedit.rollout import RolloutCallback
from hpedit.types import EditedBatch


@dataclass
class Panel:
    """One row of a grid: pictures side by side, text under them."""

    pictures: list[Image.Image]
    text: str


def draw_grid(panels: Sequence[Panel], columns: int, side: int) -> Image.Image:
    """Draw panels, ``columns`` a row; every picture is fitted into ``side`` pixels, its aspect ratio kept."""
    font = ImageFont.load_default(size=13)
    width = max(len(p.pictures) for p in panels) * (side + 4) + 8
    lines = [textwrap.wrap(p.text, width // 7)[:4] for p in panels]
    height = side + 8 + 16 * max(len(some) for some in lines)
    rows = -(-len(panels) // columns)
    sheet = Image.new("RGB", (columns * width, rows * height), "white")
    draw = ImageDraw.Draw(sheet)
    for i, panel in enumerate(panels):
        left, top = (i % columns) * width, (i // columns) * height
        for j, picture in enumerate(panel.pictures):
            scale = side / max(picture.size)
            size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
            method = Image.Resampling.NEAREST if scale >= 2 else Image.Resampling.LANCZOS
            sheet.paste(picture.convert("RGB").resize(size, method), (left + j * (side + 4), top))
        draw.multiline_text((left + 2, top + side + 2), "\n".join(lines[i]), fill="black", font=font)
    return sheet


class ImageGrid(RolloutCallback):
    """Writes a grid of source | edit pairs to TensorBoard, of rollouts and of validation.

    Args:
        every_n_rounds: Rounds between two grids of rollouts; 0 writes none.
        num_cases: Pairs in a grid.
        columns: Pairs in a row.
        side: Longest side of a picture, in pixels.
    """

    def __init__(self, every_n_rounds: int = 10, num_cases: int = 16, columns: int = 4, side: int = 128) -> None:
        self.every_n_rounds = every_n_rounds
        self.num_cases = num_cases
        self.columns = columns
        self.side = side
        self.kept: list[tuple[EditedBatch, int]] = []

    def on_rollout_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, num_samples: int) -> None:
        self.kept.clear()

    def on_rollout_chunk(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, chunk: EditedBatch, start: int
    ) -> None:
        if self.every_n_rounds and trainer.current_epoch % self.every_n_rounds == 0:
            self._keep(chunk)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.kept:
            self._write(trainer, "edits/train")

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.kept.clear()

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._keep(outputs)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._write(trainer, "edits/validation")

    def _keep(self, edits: EditedBatch) -> None:
        room = self.num_cases - len(self.kept)
        firsts: dict[str, int] = {}
        for i, row in enumerate(edits.case_row):
            firsts.setdefault(edits.cases.case_id[row], i)
        known = {e.cases.case_id[e.case_row[i]] for e, i in self.kept}
        new = [i for case, i in firsts.items() if case not in known]
        self.kept += [(edits, i) for i in new[:room]]

    def _write(self, trainer: pl.Trainer, tag: str) -> None:
        if not self.kept or not trainer.is_global_zero or not isinstance(trainer.logger, TensorBoardLogger):
            return
        scores = _scores(trainer)
        panels = [_panel(edits, i, scores) for edits, i in self.kept]
        sheet = draw_grid(panels, self.columns, self.side)
        step = trainer.global_step
        trainer.logger.experiment.add_image(tag, np.asarray(sheet), step, dataformats="HWC")
        self.kept.clear()


def _panel(edits: EditedBatch, i: int, scores: dict[tuple[str, int], float]) -> Panel:
    row = edits.case_row[i]
    case = edits.cases.case_id[row]
    sample = edits.case_row[:i].count(row)
    score = scores.get((case, sample))
    text = edits.cases.instruction[row] + ("" if score is None else f"  [{score:.2f}]")
    sources: list[Tensor] = [s[row] for s in edits.cases.sources]
    return Panel([to_pil(p) for p in (*sources, edits.images[i])], text)


def _scores(trainer: pl.Trainer) -> dict[tuple[str, int], float]:
    """Return the scores that a reward callback has of (case, sample), where there is one."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        scores = getattr(callback, "scores_by_case", None)
        if scores is not None:
            return scores
    return {}
