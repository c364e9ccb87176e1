"""What a run came to: held-out HP-Score before and after, as a line, a file and a picture."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from PIL import Image

from callbacks.image_grid import Panel, draw_grid, labelled, scores_by_case
from hpedit.images import to_pil
from hpedit.types import EditedBatch


class RunSummary(pl.Callback):
    """Writes ``summary.json`` and ``before_after.png`` into the run's folder and ends the run with one line.

    "Before" is the first validation, which ``trainer.num_sanity_val_steps: -1`` puts ahead of the first round;
    "after" is the last one.

    Args:
        num_pictures: Held-out cases shown in ``before_after.png``.
        side: Longest side of a picture there, in pixels.
    """

    def __init__(self, num_pictures: int = 16, side: int = 128) -> None:
        self.num_pictures = num_pictures
        self.side = side
        self.curve: list[dict[str, float]] = []
        self.seconds = 0.0
        self.started = 0.0
        self.num_cases = 0
        self.edits: dict[str, tuple[str, Image.Image, Image.Image]] = {}
        self.scores_before: list[float | None] = []
        self.scores_after: list[float | None] = []

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.started = time.perf_counter()

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.num_cases = 0
        self.edits.clear()

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        edits: EditedBatch = outputs
        self.num_cases += len(edits.cases)
        for i, row in enumerate(edits.case_row):
            case = edits.cases.case_id[row]
            if case in self.edits or len(self.edits) < self.num_pictures:
                source = to_pil(edits.cases.sources[0][row])
                self.edits.setdefault(case, (edits.cases.instruction[row], source, to_pil(edits.images[i])))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn != "fit":
            return
        mine = torch.tensor(float(self.num_cases), device=pl_module.device)
        self.num_cases = int(trainer.strategy.reduce(mine, reduce_op="sum"))
        folder = trainer.log_dir  # asks the other ranks
        if not trainer.is_global_zero:
            return
        figures = {k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith("val/")}
        rounds = 0 if trainer.sanity_checking else trainer.current_epoch + 1
        if trainer.sanity_checking and trainer.num_sanity_val_batches != trainer.num_val_batches:
            return  # a few cases only, which the later scores cannot be compared with
        self.curve.append({"round": rounds, **figures})
        scores = scores_by_case(trainer)
        self.scores_after = [scores.get((case, 0)) for case in self.edits]
        if len(self.curve) == 1:
            self.scores_before = self.scores_after
            if folder is not None:
                self._keep_before(Path(folder))
        if trainer.sanity_checking and trainer.logger is not None:
            # Lightning logs nothing of this validation; without it the curves lack the score to beat.
            trainer.logger.log_metrics(figures, step=0)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        folder = trainer.log_dir
        if not trainer.is_global_zero or not self.curve or folder is None:
            return
        seconds = self.seconds + time.perf_counter() - self.started
        before, after = self.curve[0], self.curve[-1]
        summary = {
            "num_cases": self.num_cases,
            "seconds": round(seconds, 1),
            "rounds": trainer.current_epoch,
            "before": before,
            "after": after,
            "curve": self.curve,
        }
        Path(folder, "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
        self._draw(Path(folder))
        score = "val/hp_score"
        if score in before and score in after:
            change = f"{before[score]:.2f} -> {after[score]:.2f}"
            print(f"\nheld-out HP-Score: {change} ({self.num_cases} cases, {seconds:.0f} s)")
        print(f"by task: {folder}/summary.json   pictures: {folder}/before_after.png")
        print(f"curves and pictures: tensorboard --logdir {folder}")

    def _keep_before(self, run: Path) -> None:
        folder = run / "before"
        folder.mkdir(parents=True, exist_ok=True)
        for i, (_, _, edit) in enumerate(self.edits.values()):
            edit.save(folder / f"{i:03d}.png")

    def _draw(self, folder: Path) -> None:
        panels = []
        for i, (instruction, source, after) in enumerate(self.edits.values()):
            path = folder / "before" / f"{i:03d}.png"
            if path.exists():
                before = labelled("before", self.scores_before[i])
                labels = ["source", before, labelled("after", self.scores_after[i])]
                panels.append(Panel([source, Image.open(path), after], instruction, labels))
        if panels:
            draw_grid(panels, columns=4, side=self.side).save(folder / "before_after.png")

    def state_dict(self) -> dict[str, Any]:
        seconds = self.seconds + time.perf_counter() - self.started
        return {
            "curve": self.curve,
            "seconds": seconds,
            "num_cases": self.num_cases,
            "scores_before": self.scores_before,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.curve = state_dict["curve"]
        self.seconds = state_dict["seconds"]
        self.num_cases = state_dict["num_cases"]
        self.scores_before = state_dict["scores_before"]
