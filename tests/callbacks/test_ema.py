from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader

from callbacks.ema import TrainedWeightsEMA


class Walk(pl.LightningModule):
    """One trained number that every update moves by 1, and one frozen; validation notes what it sees."""

    def __init__(self, fail_in_validation: bool = False) -> None:
        super().__init__()
        self.trained = nn.Parameter(torch.zeros(1))
        self.frozen = nn.Parameter(torch.full((1,), 5.0), requires_grad=False)
        self.fail_in_validation = fail_in_validation
        self.seen: list[float] = []
        self.path: list[float] = []

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        self.path.append(self.trained.item())
        return -self.trained.sum()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.seen.append(self.trained.item())
        if self.fail_in_validation and not self.trainer.sanity_checking:
            raise ValueError("a broken scorer")

    test_step = validation_step

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD([self.trained], lr=1.0)

    def loader(self) -> DataLoader:
        return DataLoader([torch.zeros(1)] * 4)  # type: ignore[arg-type]  # a list is a data set

    train_dataloader = val_dataloader = test_dataloader = loader


def trainer(
    folder: Path, *callbacks: pl.Callback, epochs: int = 1, accumulate: int = 1, sanity: int = 0
) -> pl.Trainer:
    return pl.Trainer(
        accelerator="cpu",
        default_root_dir=folder,
        max_epochs=epochs,
        accumulate_grad_batches=accumulate,
        num_sanity_val_steps=sanity,
        limit_val_batches=1,
        callbacks=list(callbacks),
        enable_checkpointing=any(isinstance(c, ModelCheckpoint) for c in callbacks),
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def averages(updates: int, decay: float) -> list[float]:
    """The average after each update of a walk 1, 2, 3, ..., by the textbook."""
    found = [0.0]
    for k in range(updates):
        d = min(decay, (1 + k) / (10 + k))
        found.append(d * found[-1] + (1 - d) * (k + 1))
    return found


@pytest.mark.parametrize("decay", [0.9, 0.2])
def test_the_average_follows_the_trained_weights_and_only_them(tmp_path: Path, decay: float):
    ema, walk = TrainedWeightsEMA(decay=decay), Walk()
    trainer(tmp_path, ema, epochs=2).fit(walk)
    assert list(ema.average) == ["trained"]
    assert ema.average["trained"].item() == pytest.approx(averages(8, decay)[-1], rel=1e-6)


def test_micro_batches_between_updates_do_not_count(tmp_path: Path):
    ema, walk = TrainedWeightsEMA(), Walk()
    trainer(tmp_path, ema, epochs=2, accumulate=2).fit(walk)
    assert ema.num_steps == 4
    assert ema.average["trained"].item() == pytest.approx(averages(4, 0.9)[-1], rel=1e-6)


def test_every_second_update(tmp_path: Path):
    ema = TrainedWeightsEMA(decay=0.0, every_n_updates=2)
    trainer(tmp_path, ema).fit(Walk())
    assert (ema.num_steps, ema.average["trained"].item()) == (2, 4.0)


def test_validation_sees_the_average_and_training_never_does(tmp_path: Path):
    walk = Walk()
    trainer(tmp_path, TrainedWeightsEMA(), epochs=2).fit(walk)
    expected = averages(8, 0.9)
    assert walk.seen == pytest.approx([expected[4], expected[8]], rel=1e-6)
    assert walk.path == [0, 1, 2, 3, 4, 5, 6, 7]
    assert walk.trained.item() == 8


def test_the_first_validation_sees_the_weights_the_run_starts_from(tmp_path: Path):
    walk = Walk()
    trainer(tmp_path, TrainedWeightsEMA(), sanity=1).fit(walk)
    assert walk.seen[0] == 0


def test_without_evaluate_the_average_is_only_kept(tmp_path: Path):
    walk, ema = Walk(), TrainedWeightsEMA(evaluate=False)
    trainer(tmp_path, ema).fit(walk)
    assert walk.seen == [4]
    assert ema.average["trained"].item() == pytest.approx(averages(4, 0.9)[-1], rel=1e-6)


def test_a_failing_validation_leaves_the_trained_weights_in_place(tmp_path: Path):
    walk = Walk(fail_in_validation=True)
    with pytest.raises(ValueError, match="a broken scorer"):
        trainer(tmp_path, TrainedWeightsEMA()).fit(walk)
    assert walk.trained.item() == 4


@pytest.mark.parametrize("at_validation", [True, False])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_resumed_average_is_that_of_an_undisturbed_run(
    tmp_path: Path, accumulate: int, at_validation: bool
):
    def checkpointed(name: str, epochs: int) -> tuple[pl.Trainer, TrainedWeightsEMA]:
        saver = ModelCheckpoint(tmp_path / name, filename="last", save_on_train_epoch_end=not at_validation)
        ema = TrainedWeightsEMA()
        return trainer(tmp_path, saver, ema, epochs=epochs, accumulate=accumulate), ema

    whole, expected = checkpointed("whole", 4)
    whole.fit(Walk())
    first, _ = checkpointed("first", 2)
    first.fit(Walk())
    saved = torch.load(tmp_path / "first" / "last.ckpt", weights_only=True)
    assert saved["state_dict"]["trained"].item() == 8 // accumulate
    second, resumed = checkpointed("second", 4)
    walk = Walk()
    second.fit(walk, ckpt_path=tmp_path / "first" / "last.ckpt")
    assert walk.trained.item() == 16 // accumulate
    assert torch.equal(resumed.average["trained"], expected.average["trained"])
    assert resumed.num_steps == expected.num_steps


def test_a_checkpoint_is_evaluated_with_its_average(tmp_path: Path):
    saver = ModelCheckpoint(tmp_path, filename="last")
    trainer(tmp_path, saver, TrainedWeightsEMA()).fit(Walk())
    walk = Walk()
    trainer(tmp_path, TrainedWeightsEMA()).test(walk, ckpt_path=tmp_path / "last.ckpt", verbose=False)
    assert walk.seen[0] == pytest.approx(averages(4, 0.9)[-1], rel=1e-6)
    assert walk.trained.item() == 4


def test_a_decay_that_never_forgets_is_refused():
    with pytest.raises(ValueError, match=r"decay: wanted in \[0, 1\), got 1"):
        TrainedWeightsEMA(decay=1.0)
