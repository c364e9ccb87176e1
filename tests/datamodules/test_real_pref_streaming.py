"""What a user of streamed data sees: the same batches as they come, and runs that go on."""

import contextlib

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from datamodules import RealPrefDataModule
from hpedit.records import write_cases
from tests.support.cases import TALL, WIDE, flat, grey_case, scored, torn


@pytest.fixture
def folder(tmp_path):
    """Three shards of 12 cases, two of three of them wide."""
    for shard in range(3):
        cases = [grey_case(i, WIDE if i % 3 else TALL) for i in range(12 * shard, 12 * shard + 12)]
        write_cases(tmp_path / "d" / f"{shard}.parquet", cases)
    return tmp_path / "d"


class Rounds(pl.LightningModule):
    """Takes what it wants of an endless stream, as a module that makes rollouts does."""

    def rollout_loader(self, loader):
        return loader


def loader_of(path, **settings):
    small = {"resolution": 64, "num_workers": 0, "batch_size": 2, "block_rows": 5}
    data = RealPrefDataModule(str(path), streaming=True, **(small | settings))
    data.setup("fit")
    data.trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    data.trainer.strategy.connect(Rounds())
    return data.train_dataloader()


def ids(loader, batches):
    return [batch.case_id for _, batch in zip(range(batches), loader, strict=False)]


@pytest.mark.parametrize("path", ["", "*.parquet"])
def test_a_pass_over_folder_or_glob_has_every_case_once(folder, path):
    loader = loader_of(folder / path)
    batches = [batch for _, batch in zip(range(18), loader, strict=False)]
    assert sorted(i for b in batches for i in b.case_id) == sorted(f"case-{i}" for i in range(36))
    for batch in batches:
        grey = (batch.sources[0] * 255).round().mean(dim=(1, 2, 3)).int().tolist()
        assert batch.case_id == [f"case-{g}" for g in grey]
        assert batch.sources[0].shape == (2, 3, *batch.size)


def test_workers_change_nothing_and_a_round_goes_on_where_the_last_ended(folder):
    plain, worked = loader_of(folder), loader_of(folder, num_workers=2)
    assert ids(worked, 20) == ids(plain, 20)
    worked.batch_sampler.seek(20)
    assert ids(worked, 4) == ids(plain, 4)


def test_solved_cases_weights_and_damage(tmp_path):
    cases = [
        grey_case(0, **scored(5.0)),
        grey_case(1, weight=3.0, **scored(2.0)),
        grey_case(2, source=torn()),
        grey_case(3, weight=0.0),
        grey_case(4),
    ]
    write_cases(tmp_path / "x.parquet", cases)
    loader = loader_of(tmp_path / "x.parquet", max_score=4.5, batch_size=5, block_rows=9)
    seen = [i for batch in ids(loader, 8) for i in batch]
    assert {"case-1", "case-4"} == set(seen)
    assert seen.count("case-1") >= 2 * seen.count("case-4") - 8
    assert [*loader.replaced] == ["record 2 of shard 0 (case-2)"]
    plain = loader_of(tmp_path / "x.parquet", weighted=False, batch_size=5, block_rows=9)
    assert {f"case-{i}" for i in (0, 1, 3, 4)} == {i for batch in ids(plain, 8) for i in batch}


class Diary(pl.LightningModule):
    def __init__(self, stop=None):
        super().__init__()
        self.weight, self.seen, self.stop = torch.nn.Parameter(torch.zeros(1)), [], stop

    def training_step(self, batch, _):
        if self.global_step == self.stop:
            raise KeyboardInterrupt
        self.seen.append(batch.case_id)
        return self.weight * batch.sources[0].mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def train(folder, path, workers, stop=None, ckpt=None):
    quiet = {
        "accelerator": "cpu",
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    save = ModelCheckpoint(folder, filename="{step}", every_n_train_steps=5, save_top_k=-1)
    trainer = pl.Trainer(**quiet, max_steps=23, callbacks=[save])
    diary = Diary(stop)
    data = RealPrefDataModule(
        str(path),
        streaming=True,
        resolution=64,
        batch_size=2,
        block_rows=5,
        epoch_batches=9,
        num_workers=workers,
    )
    with contextlib.suppress(KeyboardInterrupt, SystemExit):
        trainer.fit(diary, data, ckpt_path=ckpt, weights_only=True)
    return diary.seen


def test_a_killed_run_goes_on_with_the_very_next_batch_on_other_workers(tmp_path, folder):
    whole = train(tmp_path / "a", folder, 0)
    assert len(whole) == 23
    train(tmp_path / "b", folder, 2, stop=12)
    rest = train(tmp_path / "c", folder, 0, ckpt=tmp_path / "b" / "step=10.ckpt")
    assert rest == whole[10:]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"task_balance": True}, r"^--data\.task_balance: expected none with --data\.streaming"),
        ({"val_cases": 2}, r"^--data\.val_cases: expected none with --data\.streaming"),
        ({"block_rows": 0}, r"^--data\.block_rows: expected at least 1, got 0"),
    ],
)
def test_what_a_stream_cannot_give_is_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        RealPrefDataModule("x", streaming=True, **settings)


def test_pictures_of_a_table_are_not_streamed(tmp_path):
    (tmp_path / "0.png").write_bytes(flat(0).read())
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "0.png", "task": "bokeh", "instruction": "Do."}')
    with pytest.raises(ValueError, match=r"^--data\.data=.*metadata\.jsonl.*leave streaming out"):
        loader_of(tmp_path)
