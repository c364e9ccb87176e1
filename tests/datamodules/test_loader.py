"""Loaders under a real Trainer: interrupted runs go on exactly, ranks share the work, rollouts take what they want."""

import json
import pickle
from itertools import islice

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from datamodules import RealPrefDataModule
from datamodules.selection import train_loader
from hpedit.pictures import Picture
from hpedit.records import write_cases
from tests.support.cases import TALL, WIDE, flat, grey_case

QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
}


class Diary(pl.LightningModule):
    """Notes which cases it was given."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen = []

    def training_step(self, batch, _):
        self.seen.append(batch.case_id)
        return self.weight * batch.sources[0].mean()

    def validation_step(self, batch, _):
        self.seen.append(["val", *batch.case_id])

    def predict_step(self, batch, _):
        self.seen.append(["predict", *batch.case_id])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Kill(pl.Callback):
    """Stops the run at a step, as a crash would: nothing after the last checkpoint is kept."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == self.step:
            raise KeyboardInterrupt


@pytest.fixture
def path(tmp_path):
    write_cases(tmp_path / "x.parquet", [grey_case(i, WIDE if i % 3 else TALL) for i in range(22)])
    return str(tmp_path / "x.parquet")


def data_of(path, **settings):
    return RealPrefDataModule(
        path, **({"resolution": 64, "num_workers": 0, "batch_size": 2, "val_batch_size": 3} | settings)
    )


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("balance", [False, True])
def test_a_killed_run_goes_on_with_the_very_next_batch(path, tmp_path, workers, balance):
    settings = {"num_workers": workers, "task_balance": balance}
    whole = Diary()
    pl.Trainer(**QUIET, max_epochs=3, enable_checkpointing=False).fit(
        whole, datamodule=data_of(path, **settings)
    )

    # Killed in the second pass, two batches after the last checkpoint.
    first = Diary()
    saver = ModelCheckpoint(tmp_path, filename="last", every_n_train_steps=5, save_top_k=1)
    trainer = pl.Trainer(**QUIET, max_epochs=3, callbacks=[saver, Kill(17)])
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        trainer.fit(first, datamodule=data_of(path, **settings))
    again = Diary()
    trainer = pl.Trainer(**QUIET, max_epochs=3, enable_checkpointing=False)
    trainer.fit(
        again, datamodule=data_of(path, **settings), ckpt_path=str(tmp_path / "last.ckpt"), weights_only=True
    )

    assert first.seen == whole.seen[:17]
    assert again.seen == whole.seen[15:]
    assert torch.equal(again.weight, whole.weight)
    passes = [whole.seen[i : i + 11] for i in (0, 11, 22)] if not balance else []
    assert all({i for b in p for i in b} == {f"case-{i}" for i in range(22)} for p in passes)
    assert len({json.dumps(p) for p in passes}) == len(passes)


def test_a_run_goes_on_with_another_number_of_ranks_after_the_same_cases(path):
    data = data_of(path)
    data.setup("fit")
    loader = data.train_dataloader()
    list(islice(iter(loader), 6))
    state = loader.state_dict()
    loader.batch_sampler.world = 2
    loader.load_state_dict(state)
    assert loader.batch_sampler.position == 3


def test_a_module_that_makes_rollouts_gets_an_endless_stream(path):
    taken = []

    class Rounds(Diary):
        def rollout_loader(self, loader):
            assert loader.batch_sampler.endless

            class Two:
                def __len__(self):
                    return 2

                def __iter__(inner):
                    loader.batch_sampler.seek(self.current_epoch * 2)
                    for batch in islice(iter(loader), 2):
                        taken.append(batch.case_id)
                        yield batch

            return Two()

    module = Rounds()
    trainer = pl.Trainer(**QUIET, max_epochs=9, enable_checkpointing=False)
    trainer.fit(module, datamodule=data_of(path))
    data = data_of(path)
    data.setup("fit")
    stream = train_loader(data.train_set, 2, 0, True, True, None, 0, None)
    assert taken == module.seen == [batch.case_id for batch in islice(iter(stream), 18)]
    with pytest.raises(TypeError, match="endless"):
        len(stream)


def test_overfitting_sees_the_same_few_cases_again_and_again(path):
    module = Diary()
    trainer = pl.Trainer(**QUIET, max_epochs=3, overfit_batches=2, enable_checkpointing=False)
    trainer.fit(module, datamodule=data_of(path))
    passes = [{i for batch in module.seen[2 * e : 2 * e + 2] for i in batch} for e in range(3)]
    assert len(module.seen) == 6
    assert len(passes[0]) == 4
    assert passes[0] == passes[1] == passes[2]


def test_a_data_set_travels_to_a_spawned_worker_as_a_name(tmp_path):
    write_cases(
        tmp_path / "x.parquet",
        [grey_case(i, source=Picture(flat(i).read() + bytes(1 << 20))) for i in range(4)],
    )
    data = data_of(str(tmp_path / "x.parquet"))
    data.setup("fit")
    dataset = data.train_dataloader().dataset
    expected = dataset[2].batch
    sent = pickle.dumps(dataset)
    assert len(sent) < 1 << 18
    assert torch.equal(pickle.loads(sent)[2].batch.sources[0], expected.sources[0])


class Spread:
    """Stands for a Trainer of several ranks."""

    lightning_module = None

    def __init__(self, rank, world):
        self.distributed_sampler_kwargs = {"rank": rank, "num_replicas": world}


def test_ranks_share_the_cases_between_them(path):
    def of_rank(rank, name):
        data = data_of(path, val_cases=6)
        data.trainer = Spread(rank, 2)
        data.setup("fit")
        return [tuple(batch.case_id) for batch in getattr(data, name)()]

    train, val = ([of_rank(rank, name) for rank in (0, 1)] for name in ("train_dataloader", "val_dataloader"))
    assert len(train[0]) == len(train[1])
    assert len(val[0]) == len(val[1])
    held = [i for rank in val for b in rank for i in b]
    assert len(held) == len(set(held)) == 6
    assert {i for rank in train for b in rank for i in b} == {f"case-{i}" for i in range(22)} - {*held}


class Report(pl.Callback):
    """Leaves what each rank saw in a file: a forked process can return nothing else."""

    def __init__(self, folder):
        self.folder = folder

    def on_exception(self, trainer, pl_module, exception):
        (self.folder / f"{trainer.global_rank}.error").write_text(repr(exception))

    def on_fit_end(self, trainer, pl_module):
        (self.folder / f"{trainer.global_rank}.json").write_text(json.dumps(pl_module.seen))

    on_predict_end = on_fit_end


@pytest.mark.slow
def test_two_processes_get_what_the_sampler_says_and_no_sampler_of_lightnings(path, tmp_path):
    data = data_of(path, val_cases=6)
    expected = []
    for rank in (0, 1):
        alone = data_of(path, val_cases=6)
        alone.trainer = Spread(rank, 2)
        alone.setup("fit")
        expected.append(
            [b.case_id for b in alone.train_dataloader()]
            + [["val", *b.case_id] for b in alone.val_dataloader()]
        )
    trainer = pl.Trainer(
        **QUIET,
        max_epochs=1,
        devices=2,
        strategy="ddp_fork",
        callbacks=[Report(tmp_path)],
        enable_checkpointing=False,
    )
    trainer.fit(Diary(), datamodule=data)
    assert [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)] == expected
    trainer.predict(Diary(), datamodule=data, return_predictions=False)
    predicted = [
        case
        for rank in (0, 1)
        for _, *cases in json.loads((tmp_path / f"{rank}.json").read_text())
        for case in cases
    ]
    assert sorted(predicted) == sorted(i for rank in expected for b in rank if b[0] == "val" for i in b[1:])
