"""What predict leaves behind: pictures without loss, and a folder that is a data set."""

import lightning.pytorch as pl
import pytest
import torch

from callbacks.edit_writer import EditWriter
from datamodules import RealPrefDataModule
from hpedit.images import from_pil, to_uint8
from hpedit.records import read_cases, write_cases
from hpedit.types import EditedBatch
from tests.support.cases import TALL, WIDE, flat, grey_case

QUIET = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_checkpointing": False}


class Inverter(pl.LightningModule):
    """Makes two edits of every case, in an order of its own."""

    def predict_step(self, batch, _):
        rows = [*range(len(batch)), *range(len(batch))]
        light = torch.tensor([1.0] * len(batch) + [0.5] * len(batch)).view(-1, 1, 1, 1)
        return EditedBatch(batch, rows, (1 - batch.sources[0][rows]) * light)


def predict(tmp_path, cases, writer):
    write_cases(tmp_path / "x.parquet", cases)
    data = RealPrefDataModule(
        "", predict_data=str(tmp_path / "x.parquet"), resolution=64, num_workers=0, val_batch_size=2
    )
    pl.Trainer(**QUIET, callbacks=[writer], default_root_dir=tmp_path).predict(Inverter(), datamodule=data)


def test_a_prediction_is_a_data_set_of_cases_with_their_edits(tmp_path):
    extra = {"references": (flat(99, WIDE),), "requirement": "Keep the rest."}
    cases = [grey_case(i, WIDE if i % 2 else TALL, **(extra if i == 4 else {})) for i in range(5)]
    predict(tmp_path, cases, EditWriter(model="demo"))
    written = {case.case_id: case for case in read_cases(str(tmp_path / "predictions"))}
    assert sorted(written) == [f"case-{i}" for i in range(5)]
    for i, case in enumerate(cases):
        back = written[case.case_id]
        assert (back.task, back.instruction, back.requirement) == (
            case.task,
            case.instruction,
            case.requirement,
        )
        assert [c.cand_id for c in back.candidates] == [f"case-{i}-0", f"case-{i}-1"]
        assert {c.model for c in back.candidates} == {"demo"}
        source, bright, dim = (
            from_pil(picture.decode()) for picture in (back.source, *(c.image for c in back.candidates))
        )
        assert source.unique().tolist() == [i]
        assert bright.unique().tolist() == [255 - i]
        assert torch.equal(dim, to_uint8((1 - torch.full_like(dim, i, dtype=torch.float32) / 255) * 0.5))
        assert len(back.references) == (i == 4)


def test_ids_that_no_file_name_can_hold_stay_apart(tmp_path):
    odd = [
        "../../up",
        "..\\..\\up",
        "a/b",
        "a_b",
        ".hidden",
        "x" * 300,
        "x" * 301,
        "\N{LATIN SMALL LETTER E WITH ACUTE}",
    ]
    cases = [grey_case(i, requirement=None) for i in range(len(odd))]
    cases = [type(c)(**(vars(c) | {"case_id": name})) for c, name in zip(cases, odd, strict=True)]
    predict(tmp_path, cases, EditWriter(str(tmp_path / "out")))
    back = {
        c.case_id: from_pil(c.source.decode()).unique().tolist() for c in read_cases(str(tmp_path / "out"))
    }
    assert back == {name: [i] for i, name in enumerate(odd)}
    assert {p.name for p in tmp_path.iterdir()} == {"x.parquet", "out"}


def test_a_prediction_is_never_overwritten(tmp_path):
    predict(tmp_path, [grey_case(0)], EditWriter(str(tmp_path / "out")))
    before = (tmp_path / "out" / "metadata.jsonl").read_bytes()
    with pytest.raises(
        ValueError, match=r"EditWriter\.folder: expected a folder without a prediction, got .*out"
    ):
        predict(tmp_path, [grey_case(1)], EditWriter(str(tmp_path / "out")))
    assert (tmp_path / "out" / "metadata.jsonl").read_bytes() == before


def test_a_module_that_predicts_something_else_is_told(tmp_path):
    class Other(Inverter):
        def predict_step(self, batch, _):
            return batch.sources[0]

    write_cases(tmp_path / "x.parquet", [grey_case(0)])
    data = RealPrefDataModule("", predict_data=str(tmp_path / "x.parquet"), resolution=64, num_workers=0)
    trainer = pl.Trainer(**QUIET, callbacks=[EditWriter(str(tmp_path / "out"))])
    with pytest.raises(ValueError, match="expected predict_step to return EditedBatch, got Tensor"):
        trainer.predict(Other(), datamodule=data)
    assert not (tmp_path / "out" / "metadata.jsonl").exists()
