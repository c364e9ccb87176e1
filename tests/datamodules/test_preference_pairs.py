"""Pairs for DPO: read as they are, or made of the best and the worst candidate."""

import logging

import pytest
import torch

from datamodules import PreferencePairDataModule
from datamodules.preference_pairs import best_and_worst
from datamodules.screening import Unsuited
from hpedit.cases import Pair
from hpedit.pictures import Picture
from hpedit.records import write_cases, write_pairs
from tests.support.cases import TALL, WIDE, flat, grey_case, scored, torn

SMALL = {"resolution": 64, "num_workers": 0, "batch_size": 2, "val_batch_size": 2}


def opened(path, **settings):
    data = PreferencePairDataModule(str(path), **(SMALL | settings))
    data.setup("fit")
    return data


def greys(images):
    return (images * 255).round().mean(dim=(1, 2, 3)).int().tolist()


def test_pairs_come_with_their_case(tmp_path):
    def pair(i, size):
        return Pair(grey_case(i, size), flat(100 + i, size), flat(200 + i, size))

    write_pairs(tmp_path / "x.parquet", [pair(i, WIDE if i < 4 else TALL) for i in range(8)])
    seen = []
    for batch in opened(tmp_path / "x.parquet").train_dataloader():
        numbers = [int(i[5:]) for i in batch.cases.case_id]
        assert batch.preferred.shape == batch.rejected.shape == (2, 3, *batch.cases.size)
        assert greys(batch.cases.sources[0]) == numbers
        assert greys(batch.preferred) == [100 + i for i in numbers]
        assert greys(batch.rejected) == [200 + i for i in numbers]
        seen += numbers
    assert sorted(seen) == list(range(8))


def test_scored_candidates_give_their_best_against_their_worst_and_the_rest_is_accounted_for(
    tmp_path, caplog
):
    cases = [
        grey_case(0, **scored(2.0, 4.5, 1.0)),
        grey_case(1, **scored(3.0, 3.5)),
        grey_case(2, **scored(3.0, None)),
        grey_case(3),
        grey_case(4, **scored(5.0, 0.0)),
    ]
    write_cases(tmp_path / "x.parquet", cases)
    logger = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    with caplog.at_level(logging.INFO, logger.name):
        logger.addHandler(caplog.handler)
        data = opened(tmp_path / "x.parquet", batch_size=1, shuffle=False, max_bad_share=0.0)
        logger.removeHandler(caplog.handler)
    batches = list(data.train_dataloader())
    assert [b.cases.case_id for b in batches] == [["case-0"], ["case-4"]]
    assert [greys(b.preferred) for b in batches] == [[101], [100]]
    assert [greys(b.rejected) for b in batches] == [[102], [101]]
    assert "2 of 5 records are used. 3 not used" in caplog.text
    assert "2 x no pair, fewer than two scored candidates" in caplog.text
    assert "1 x no pair, best and worst closer than --data.min_gap 1" in caplog.text


def test_the_gap_is_inclusive_and_a_tie_is_never_a_pair():
    case = grey_case(0, **scored(3.0, 4.0))
    assert best_and_worst(case, 1.0) == (1, 0)
    with pytest.raises(Unsuited, match="1 apart"):
        best_and_worst(case, 1.1)
    with pytest.raises(ValueError, match=r"--data\.min_gap: expected more than 0"):
        PreferencePairDataModule("x", min_gap=0.0)


def test_no_pair_at_all_names_the_flag(tmp_path):
    write_cases(tmp_path / "x.parquet", [grey_case(0), grey_case(1)])
    with pytest.raises(ValueError, match=r"^--data\.data=.*0 of 2 records are used.*fewer than two scored"):
        opened(tmp_path / "x.parquet")


def test_a_damaged_edit_is_a_faulty_record_like_any_other(tmp_path):
    pairs = [Pair(grey_case(i), flat(100), flat(101)) for i in range(3)]
    pairs += [Pair(grey_case(8), flat(100), Picture(b"no picture")), Pair(grey_case(9), torn(), flat(101))]
    write_pairs(tmp_path / "x.parquet", pairs)
    data = opened(tmp_path / "x.parquet", batch_size=1)
    assert list(data.train_set.faults) == ["record 3 (case-8)"]
    assert "(rejected)" in data.train_set.faults["record 3 (case-8)"]
    loader = data.train_dataloader()
    assert {i for batch in loader for i in batch.cases.case_id} == {"case-0", "case-1", "case-2"}
    assert list(loader.replaced) == ["record 4 (case-9)"]


def test_held_out_pairs_are_not_trained_on(tmp_path):
    write_pairs(tmp_path / "x.parquet", [Pair(grey_case(i), flat(100 + i), flat(150)) for i in range(10)])
    data = opened(tmp_path / "x.parquet", val_cases=3)
    held = [i for batch in data.val_dataloader() for i in batch.cases.case_id]
    train = [i for batch in data.train_dataloader() for i in batch.cases.case_id]
    assert len(held) == 3
    assert {*held, *train} == {f"case-{i}" for i in range(10)}
    assert not {*held} & {*train}
    moved = next(iter(data.val_dataloader())).to("cpu")
    assert moved.preferred.dtype == torch.float32
