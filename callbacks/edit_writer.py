"""Writes the edits that ``predict`` makes, as a folder that can be scored, rated or paired as it is."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from hpedit.images import png_bytes, to_uint8
from hpedit.types import EditedBatch


class EditWriter(pl.Callback):
    """Writes every edit and its source pictures as PNG, and a metadata.jsonl that hpedit.records.read_cases reads.

    A case's edits are its candidates, named after the case and numbered in order. Each rank writes its own part;
    the parts become metadata.jsonl when all are done, so a folder without one is of a prediction that did not finish.
    A plain Callback and not a BasePredictionWriter, which wants to know data set indices: cases have ids.

    Args:
        folder: Where to write; null is ``predictions`` in the folder of the run. Must not hold a prediction yet.
        model: What the candidates' field ``model`` says, such as the checkpoint's name.
    """

    def __init__(self, folder: str | None = None, model: str = "") -> None:
        super().__init__()
        self.folder = folder
        self.model = model

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Refuse a folder that holds a prediction, before anything is sampled."""
        root = self._root(trainer)
        taken = (root / "metadata.jsonl").exists()
        trainer.strategy.barrier("edit_writer_start")
        if taken:
            raise ValueError(f"EditWriter.folder: expected a folder without a prediction, got {root}")
        for name in ("sources", "edits"):
            (root / name).mkdir(parents=True, exist_ok=True)
        _part(root, trainer.global_rank).write_bytes(b"")

    def on_predict_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write one EditedBatch."""
        if not isinstance(outputs, EditedBatch):
            raise ValueError(
                f"EditWriter: expected predict_step to return EditedBatch, got {type(outputs).__name__}"
            )
        root = self._root(trainer)
        lines = [json.dumps(self._write_case(root, outputs, row)) + "\n" for row in range(len(outputs.cases))]
        with _part(root, trainer.global_rank).open("a", encoding="utf-8") as part:
            part.writelines(lines)

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Join the ranks' parts."""
        trainer.strategy.barrier("edit_writer_end")
        root = self._root(trainer)  # asks the other ranks
        if not trainer.is_global_zero:
            return
        parts = [_part(root, rank) for rank in range(trainer.world_size)]
        joined = root / ".metadata.jsonl"
        joined.write_bytes(b"".join(part.read_bytes() for part in parts))
        joined.replace(root / "metadata.jsonl")
        for part in parts:
            part.unlink()
        rank_zero_info(f"edits written to {root}")

    def _root(self, trainer: pl.Trainer) -> Path:
        return Path(self.folder or Path(trainer.log_dir or trainer.default_root_dir) / "predictions")

    def _write_case(self, root: Path, edited: EditedBatch, row: int) -> dict[str, Any]:
        cases = edited.cases
        stem = _file_stem(cases.case_id[row])
        source, *references = [
            _save(root, f"sources/{stem}{f'-ref{i}' if i else ''}.png", slot[row])
            for i, slot in enumerate(cases.sources)
        ]
        mine = [image for image, of in zip(edited.images, edited.case_row, strict=True) if of == row]
        edits = [_save(root, f"edits/{stem}-{i}.png", image) for i, image in enumerate(mine)]
        return {
            "case_id": cases.case_id[row],
            "task": cases.task[row],
            "instruction": cases.instruction[row],
            "requirement": cases.requirement[row] or None,
            "source": source,
            "references": references,
            "candidates": [
                {"cand_id": f"{cases.case_id[row]}-{i}", "image": file, "model": self.model}
                for i, file in enumerate(edits)
            ],
        }


def _file_stem(case_id: str) -> str:
    """Return a file name for a case; ids that a file name cannot hold keep apart by a hash."""
    safe = re.sub(r"[^\w.-]", "_", case_id)[:100].lstrip(".")
    return (
        safe if safe == case_id else f"{safe}-{hashlib.blake2b(case_id.encode(), digest_size=4).hexdigest()}"
    )


def _save(root: Path, name: str, image: Tensor) -> str:
    (root / name).write_bytes(png_bytes(to_uint8(image)))
    return name


def _part(root: Path, rank: int) -> Path:
    return root / f".metadata.rank{rank}.jsonl"
