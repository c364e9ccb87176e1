from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader

from callbacks.summary import RunSummary
from hpedit.types import EditBatch, EditedBatch


class Improving(pl.LightningModule):
    """Edits get brighter by 0.1 an epoch, and are scored 5 times their brightness; 2 batches of 2 cases."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return self.weight.sum()

    def on_train_epoch_start(self) -> None:
        self.level = 0.1 * (self.current_epoch + 1)

    def validation_step(self, batch: Any, batch_idx: int) -> EditedBatch:
        level = 0.0 if self.trainer.sanity_checking else self.level
        self.log("val/hp_score", 5 * level, batch_size=2)
        cases = EditBatch(
            case_id=[f"case-{batch_idx}-{i}" for i in range(2)],
            task=["bokeh"] * 2,
            instruction=["Blur it"] * 2,
            requirement=[""] * 2,
            sources=[torch.ones(2, 3, 8, 8)],
            size=(8, 8),
        )
        return EditedBatch(cases, [0, 1], torch.full((2, 3, 8, 8), level))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def loader(self) -> DataLoader:
        return DataLoader([torch.zeros(1)] * 2)  # type: ignore[arg-type]  # a list is a data set

    train_dataloader = val_dataloader = loader


def trainer(
    folder: Path, summary: RunSummary, epochs: int = 4, sanity: int = -1, version: int = 0
) -> pl.Trainer:
    return pl.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        check_val_every_n_epoch=2,
        num_sanity_val_steps=sanity,
        log_every_n_steps=1,
        logger=TensorBoardLogger(str(folder), "run", version),
        callbacks=[summary],
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def written(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run/version_0/summary.json").read_text())


def test_a_run_ends_with_its_held_out_score_before_and_after(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    trainer(tmp_path, RunSummary()).fit(Improving())
    found = written(tmp_path)
    assert [point["round"] for point in found["curve"]] == [0, 2, 4]
    assert [point["val/hp_score"] for point in found["curve"]] == pytest.approx([0.0, 1.0, 2.0])
    assert (found["before"], found["after"]) == (found["curve"][0], found["curve"][-1])
    assert (found["num_cases"], found["rounds"]) == (4, 4)
    said = capsys.readouterr().out
    assert f"held-out HP-Score: 0.00 -> 2.00 (4 cases, {found['seconds']:.0f} s)" in said
    assert "tensorboard --logdir" in said


def test_the_picture_shows_source_before_and_after(tmp_path: Path):
    trainer(tmp_path, RunSummary(side=8)).fit(Improving())
    before = [np.asarray(Image.open(p)) for p in sorted((tmp_path / "run/version_0/before").iterdir())]
    assert len(before) == 4
    assert all((picture == 0).all() for picture in before)
    sheet = np.asarray(Image.open(tmp_path / "run/version_0/before_after.png").convert("RGB"))
    after = round(0.4 * 255)
    # Four panels of 8 x 8 pixels each; the letters are antialiased and seldom of just this grey.
    assert ((sheet == after).all(-1)).sum() >= 4 * 64


def test_only_so_many_pictures_are_kept(tmp_path: Path):
    summary = RunSummary(num_pictures=3)
    trainer(tmp_path, summary).fit(Improving())
    assert len(summary.edits) == 3
    assert len(list((tmp_path / "run/version_0/before").iterdir())) == 3


def test_a_sanity_check_of_a_few_cases_is_no_score_to_beat(tmp_path: Path):
    trainer(tmp_path, RunSummary(), sanity=1).fit(Improving())
    assert [point["round"] for point in written(tmp_path)["curve"]] == [2, 4]


def test_a_resumed_run_keeps_the_score_to_beat_and_its_time(tmp_path: Path):
    first = RunSummary()
    early = trainer(tmp_path, first, epochs=2)
    early.fit(Improving())
    early.save_checkpoint(tmp_path / "a.ckpt")
    first_seconds = written(tmp_path)["seconds"]
    trainer(tmp_path, RunSummary(), sanity=0).fit(
        Improving(), ckpt_path=tmp_path / "a.ckpt", weights_only=True
    )
    found = written(tmp_path)
    assert [point["round"] for point in found["curve"]] == [0, 2, 4]
    assert found["seconds"] >= first_seconds
    assert (tmp_path / "run/version_0/before_after.png").exists()


def test_a_run_resumed_after_its_last_validation_still_knows_what_it_measured(tmp_path: Path):
    early = trainer(tmp_path, RunSummary(), epochs=2)
    early.fit(Improving())
    early.save_checkpoint(tmp_path / "a.ckpt")
    (tmp_path / "run/version_0/summary.json").unlink()
    late = trainer(tmp_path, RunSummary(), epochs=3, sanity=0)
    late.fit(Improving(), ckpt_path=tmp_path / "a.ckpt", weights_only=True)
    found = written(tmp_path)
    assert [point["round"] for point in found["curve"]] == [0, 2]
    assert (found["num_cases"], found["rounds"]) == (4, 3)


def test_a_run_that_never_validated_has_no_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    trainer(tmp_path, RunSummary(), epochs=1, sanity=0).fit(Improving())
    assert not (tmp_path / "run/version_0/summary.json").exists()
    assert "held-out" not in capsys.readouterr().out
