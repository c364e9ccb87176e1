"""TensorBoard pictures: source beside edit, with the instruction under them and the score above."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
import numpy as np
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image, ImageDraw, ImageFont

from hpedit.images import to_pil
from hpedit.rollout import RolloutCallback
from hpedit.types import EditedBatch

_GAP, _MARGIN, _LINE, _TEXT_LINES = 4, 10, 16, 4


@dataclass
class Panel:
    """One cell of a grid: pictures side by side, a label above each of them (may be none), text under them."""

    pictures: list[Image.Image]
    text: str
    labels: Sequence[str] = ()


def draw_grid(panels: Sequence[Panel], columns: int, side: int) -> Image.Image:
    """Draw panels, ``columns`` a row; every picture is fitted into ``side`` pixels, its aspect ratio kept."""
    columns = min(columns, len(panels))
    width = max(len(p.pictures) for p in panels) * (side + _GAP) - _GAP + 2 * _MARGIN
    lines = [textwrap.wrap(p.text, (width - 2 * _MARGIN) // 7)[:_TEXT_LINES] for p in panels]
    head = _LINE + 2 if any(p.labels for p in panels) else 0
    height = _MARGIN + head + side + 2 + _LINE * max(len(some) for some in lines)
    rows = -(-len(panels) // columns)
    sheet = Image.new("RGB", (columns * width, rows * height + _MARGIN), "white")
    for i, panel in enumerate(panels):
        corner = (i % columns) * width + _MARGIN, (i // columns) * height + _MARGIN
        _draw_panel(sheet, panel, corner, head, side, "\n".join(lines[i]))
    return sheet


def _draw_panel(
    sheet: Image.Image, panel: Panel, corner: tuple[int, int], head: int, side: int, text: str
) -> None:
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=13)
    left, top = corner
    for j, picture in enumerate(panel.pictures):
        sheet.paste(_fitted(picture, side), (left + j * (side + _GAP), top + head))
    for j, label in enumerate(panel.labels):
        draw.text((left + j * (side + _GAP), top), label, fill="dimgray", font=font)
    draw.multiline_text((left, top + head + side + 2), text, fill="black", font=font)


def _fitted(picture: Image.Image, side: int) -> Image.Image:
    scale = side / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    # Enlarged pixels stay visible as pixels: a blurred miniature hides what the editor did.
    method = Image.Resampling.NEAREST if scale >= 2 else Image.Resampling.LANCZOS
    return picture.convert("RGB").resize(size, method)


@dataclass
class Shown:
    """A case kept for a grid: its first edit of the round or evaluation, and the pictures it started from."""

    case_id: str
    instruction: str
    sources: list[Image.Image]
    edit: Image.Image


class ImageGrid(RolloutCallback):
    """Writes a grid of source | edit pairs to TensorBoard, of rollouts and of validation.

    Args:
        every_n_rounds: Rounds between two grids of rollouts; 0 writes none.
        num_cases: Pairs in a grid.
        columns: Pairs in a row.
        side: Longest side of a picture, in pixels.
    """

    def __init__(
        self, every_n_rounds: int = 10, num_cases: int = 16, columns: int = 4, side: int = 128
    ) -> None:
        self.every_n_rounds = every_n_rounds
        self.num_cases = num_cases
        self.columns = columns
        self.side = side
        self.sampled: list[Shown] = []
        self.validated: list[Shown] = []

    def on_rollout_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, num_samples: int) -> None:
        self.sampled.clear()

    def on_rollout_chunk(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, chunk: EditedBatch, start: int
    ) -> None:
        if self.every_n_rounds and trainer.current_epoch % self.every_n_rounds == 0:
            self._keep(trainer, chunk, self.sampled)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._write(trainer, "edits/train", self.sampled)

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.validated.clear()

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._keep(trainer, outputs, self.validated)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._write(trainer, "edits/validation", self.validated)

    def _keep(self, trainer: pl.Trainer, edits: EditedBatch, kept: list[Shown]) -> None:
        """Keep the first edit of every case that is new, as small pictures: the tensors may lie on the device."""
        if not trainer.is_global_zero:
            return
        known = {shown.case_id for shown in kept}
        for i, row in enumerate(edits.case_row):
            case = edits.cases.case_id[row]
            if case in known or len(kept) == self.num_cases:
                continue
            known.add(case)
            sources = [_fitted(to_pil(s[row]), self.side) for s in edits.cases.sources]
            edit = _fitted(to_pil(edits.images[i]), self.side)
            kept.append(Shown(case, edits.cases.instruction[row], sources, edit))

    def _write(self, trainer: pl.Trainer, tag: str, kept: list[Shown]) -> None:
        if not kept or not isinstance(trainer.logger, TensorBoardLogger):
            return
        scores = scores_by_case(trainer)
        panels = [_panel(shown, scores.get((shown.case_id, 0))) for shown in kept]
        sheet = draw_grid(panels, self.columns, self.side)
        trainer.logger.experiment.add_image(tag, np.asarray(sheet), trainer.global_step, dataformats="HWC")
        kept.clear()


def _panel(shown: Shown, score: float | None) -> Panel:
    references = [f"reference {i + 2}" for i in range(len(shown.sources) - 1)]
    labels = ["source", *references, labelled("edit", score)]
    return Panel([*shown.sources, shown.edit], shown.instruction, labels)


def labelled(name: str, score: float | None) -> str:
    """Return ``name`` with its score where one was asked for; NaN is a score that could not be had."""
    if score is None:
        return name
    return f"{name}  no score" if math.isnan(score) else f"{name}  {score:.2f}"


def scores_by_case(trainer: pl.Trainer) -> dict[tuple[str, int], float]:
    """Return the scores that a reward callback has of (case, sample), where there is one."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        scores = getattr(callback, "scores_by_case", None)
        if scores is not None:
            return scores
    return {}
