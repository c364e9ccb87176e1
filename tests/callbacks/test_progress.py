"""The bar of a run has its few figures by short names, and is the run's own unless another is asked for."""

from __future__ import annotations

import lightning.pytorch as pl
from lightning.pytorch.demos.boring_classes import BoringModel

from callbacks.progress import OneLineProgressBar


class Rewarded(BoringModel):
    def on_train_epoch_end(self) -> None:
        self.log_dict({"val/hp_score": 3.0, "reward/mean": 0.5, "train/other": 1.0}, prog_bar=True)


def test_it_shows_reward_speed_and_score_by_short_names(tmp_path):
    bar = OneLineProgressBar()
    trainer = pl.Trainer(
        default_root_dir=tmp_path,
        max_epochs=1,
        limit_train_batches=2,
        limit_val_batches=0,
        callbacks=[bar],
        accelerator="cpu",
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    trainer.fit(module := Rewarded())
    assert list(bar.get_metrics(trainer, module).items()) == [
        ("reward", 0.5),
        ("hp_score", 3.0),
        ("train/other", 1.0),
    ]
