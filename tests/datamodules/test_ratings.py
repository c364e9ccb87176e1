"""Rated cases become batches of (edit, dimension) with what people said of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from datamodules.ratings import RatingsDataModule
from hpedit.cases import Candidate, HumanRating
from hpedit.records import write_cases
from tests.support.cases import flat, grey_case


def rated(number: int, *ratings: HumanRating):
    """A case with two edits, "good" (grey 200) and "bad" (grey 50), and these ratings."""
    edits = (Candidate("good", flat(200)), Candidate("bad", flat(50)))
    return replace(grey_case(number), candidates=edits, humans=ratings)


def rating(cand: str, value: float, rater: str = "ann", dim: str = "overall") -> HumanRating:
    return HumanRating(cand, rater, dim, value)


def opened(path, stage="fit", **settings) -> RatingsDataModule:
    data = RatingsDataModule(str(path), **settings)
    data.setup(stage)
    return data


@pytest.fixture
def two_raters(tmp_path):
    ratings = (rating("bad", 1), rating("good", 5), rating("bad", 2, "bob"), rating("good", 3, dim="quality"))
    write_cases(tmp_path / "r.parquet", [rated(0, *ratings)])
    return tmp_path / "r.parquet"


def test_raters_of_an_edit_are_averaged_and_pictures_come_as_they_are(two_raters):
    (batch,) = opened(two_raters, batch_size=1).train_dataloader()
    assert batch.rating.tolist() == [5.0, 1.5]
    assert [int(r.edit[0, 0, 0]) for r in batch.requests] == [200, 50]
    assert batch.target[1].tolist() == [0, 0.5, 0.5, 0, 0, 0]
    assert batch.group[0] == batch.group[1]


def test_each_dimension_is_a_row_of_its_own(two_raters):
    (batch,) = opened(two_raters, dimensions=("overall", "quality"), batch_size=1).train_dataloader()
    assert [(d, float(v)) for d, v in zip(batch.dimension, batch.rating, strict=True)] == [
        ("overall", 5.0),
        ("quality", 3.0),
        ("overall", 1.5),
    ]
    assert batch.requests[0] is batch.requests[1]


def test_opinion_scores_to_100_are_brought_to_five(tmp_path):
    write_cases(tmp_path / "r.parquet", [rated(0, rating("good", 90.0))])
    (batch,) = opened(tmp_path / "r.parquet", top=100, batch_size=1).train_dataloader()
    assert batch.rating.tolist() == pytest.approx([4.5])


def test_unrated_cases_are_passed_over_and_none_at_all_names_the_flag(tmp_path):
    write_cases(tmp_path / "some.parquet", [rated(0), rated(1, rating("bad", 1))])
    (batch,) = opened(tmp_path / "some.parquet", batch_size=1).train_dataloader()
    assert len(batch) == 1
    write_cases(tmp_path / "none.parquet", [rated(0)])
    with pytest.raises(ValueError, match=r"--data\.data.*no rating: expected one in overall"):
        opened(tmp_path / "none.parquet")


def test_a_rating_outside_the_scale_is_a_faulty_record(tmp_path):
    cases = [rated(0, rating("bad", 1)), rated(1, rating("bad", 60))]
    write_cases(tmp_path / "r.parquet", cases)
    with pytest.raises(ValueError, match=r"values in \[0, 5\], got 60"):
        opened(tmp_path / "r.parquet")
    assert len(opened(tmp_path / "r.parquet", max_bad_share=0.5).train_set.entries) == 1


def test_held_out_cases_are_not_trained_on(tmp_path):
    write_cases(tmp_path / "r.parquet", [rated(i, rating("bad", 1)) for i in range(6)])
    data = opened(tmp_path / "r.parquet", val_cases=2, batch_size=1)
    held = {r.case_id for batch in data.val_dataloader() for r in batch.requests}
    learnt = {r.case_id for batch in data.train_dataloader() for r in batch.requests}
    assert (len(held), len(learnt), held & learnt) == (2, 4, set())


def test_validation_without_data_to_validate_on_says_which_flag(two_raters):
    with pytest.raises(ValueError, match=r"--data\.val_data, or --data\.val_cases"):
        opened(two_raters, stage="validate")
