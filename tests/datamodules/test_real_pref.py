"""What a user of the RealPref data module sees: full batches of good cases, and a word about the others."""

import json
import logging
import re

import pyarrow as pa
import pytest
import torch

from datamodules import RealPrefDataModule
from hpedit.pictures import Picture
from hpedit.records import read_cases, write_cases
from tests.support.cases import SQUARE, TALL, WIDE, flat, grey_case, scored, torn
from tests.support.photos import write_photo_dataset

SMALL = {"resolution": 64, "num_workers": 0, "batch_size": 2, "val_batch_size": 3}


def module(tmp_path, cases, stage="fit", **settings):
    write_cases(tmp_path / "data.parquet", cases)
    data = RealPrefDataModule(str(tmp_path / "data.parquet"), **(SMALL | settings))
    data.setup(stage)
    return data


def ids(loader):
    return [i for batch in loader for i in batch.case_id]


def grey_of(batch, slot=0):
    """The grey value of each source, which is the number of its case."""
    return (batch.sources[slot] * 255).round().mean(dim=(1, 2, 3)).int().tolist()


def numbers(batch):
    return [int(i.removeprefix("case-")) for i in batch.case_id]


@pytest.fixture
def log(caplog):
    """What rank 0 was told, whichever logger said it."""
    names = ["lightning.pytorch.utilities.rank_zero", "lightning.pytorch", "datamodules"]
    loggers = [logging.getLogger(n) for n in names]
    before = [logger.propagate for logger in loggers]
    for logger in loggers:
        logger.propagate = True
    caplog.set_level(logging.INFO)
    yield caplog
    for logger, propagate in zip(loggers, before, strict=True):
        logger.propagate = propagate


def test_a_batch_has_one_shape_and_every_picture_its_words(tmp_path):
    shapes = [WIDE, TALL, SQUARE]
    data = module(
        tmp_path, [grey_case(i, shapes[i % 3], requirement="r" * (i % 2) or None) for i in range(12)]
    )
    seen = []
    for batch in data.train_dataloader():
        (sources,) = batch.sources
        assert sources.shape == (2, 3, *batch.size)
        assert sources.dtype == torch.float32
        assert batch.target is None
        assert grey_of(batch) == numbers(batch)
        assert [i % 3 for i in numbers(batch)] == [numbers(batch)[0] % 3] * 2
        assert batch.instruction == [f"Do {i}." for i in numbers(batch)]
        assert batch.requirement == ["r" * (i % 2) for i in numbers(batch)]
        seen += numbers(batch)
    assert sorted(seen) == list(range(12))


def test_references_targets_and_their_absence_make_buckets(tmp_path):
    def case(i):
        extra = {"references": (flat(100 + i, WIDE),)} if i % 2 else {}
        return grey_case(i, TALL, target=flat(200 + i, TALL) if i % 4 > 1 else None, **extra)

    data = module(tmp_path, [case(i) for i in range(8)], source_resolution=32)
    batches = list(data.train_dataloader())
    assert sorted(i for b in batches for i in numbers(b)) == list(range(8))
    for batch in batches:
        first = numbers(batch)[0]
        assert len(batch.sources) == 1 + first % 2
        assert batch.sources[0].shape[-2] * batch.sources[0].shape[-1] < batch.size[0] * batch.size[1] / 2
        if first % 2:
            assert grey_of(batch, 1) == [100 + i for i in numbers(batch)]
        if first % 4 > 1:
            assert batch.target.shape == (2, 3, *batch.size)
            assert (batch.target * 255).round().mean(dim=(1, 2, 3)).int().tolist() == [
                200 + i for i in numbers(batch)
            ]
        else:
            assert batch.target is None


def test_photographs_of_six_shapes_load_from_folder_and_parquet_alike(tmp_path):
    photos = write_photo_dataset(tmp_path, longest_side=120)
    loaders = []
    for path in (photos.folder, photos.parquet):
        data = RealPrefDataModule(str(path), **SMALL)
        data.setup("fit")
        loaders.append(list(data.train_dataloader()))
    for one, other in zip(*loaders, strict=True):
        assert one.case_id == other.case_id
        assert torch.equal(one.sources[0], other.sources[0])
    assert len({batch.size for batch in loaders[0]}) >= 3
    assert len({task for batch in loaders[0] for task in batch.task}) == 8


def test_faulty_records_are_named_and_cost_nothing_else(tmp_path, log):
    folder = tmp_path / "d"
    folder.mkdir()
    for i in range(8):
        (folder / f"{i}.png").write_bytes(flat(i).read())
    (folder / "zero.png").touch()
    (folder / "text.png").write_text("not a picture")
    rows = [
        {"file_name": f"{i}.png", "case_id": f"case-{i}", "task": "bokeh", "instruction": "Blur."}
        for i in range(8)
    ]
    faulty = [
        rows[0] | {"case_id": "A", "task": "fly"},
        rows[0] | {"case_id": "B", "file_name": "gone.png"},
        rows[0] | {"case_id": "C", "file_name": "zero.png"},
        rows[0] | {"case_id": "D", "file_name": "text.png"},
        rows[0] | {"case_id": "E", "instruction": ""},
        rows[0],
    ]
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows + faulty)))
    data = RealPrefDataModule(str(folder), **SMALL)
    data.setup("fit")
    assert sorted(ids(data.train_dataloader())) == [f"case-{i}" for i in range(8)]
    assert "8 of 14 records are used. 6 faulty" in log.text
    faults = data.train_set.faults
    assert list(faults) == [f"record {8 + i} ({n})" for i, n in enumerate([*"ABCDE", "case-0"])]
    reasons = [
        "unknown task 'fly'",
        "missing image.*gone",
        "zero bytes",
        "no readable",
        "no instruction",
        "duplicate",
    ]
    for reason, words in zip(faults.values(), reasons, strict=True):
        assert re.search(words, reason)


def test_too_many_faulty_records_stop_before_the_run(tmp_path):
    cases = [grey_case(i) for i in range(3)] + [grey_case(10 + i, source=Picture(b"x")) for i in range(2)]
    with pytest.raises(
        ValueError, match=r"^--data\.data=.*2 faulty.*record 3 \(case-10\).*--data\.max_bad_share 0\.25"
    ):
        module(tmp_path, cases, max_bad_share=0.25)
    with pytest.raises(ValueError, match=r"^--data\.data=.*0 of 2 records are used"):
        module(tmp_path / "all", cases[3:])


def test_damage_found_on_the_way_is_replaced_from_the_bucket_and_named_once(tmp_path, log):
    cases = [grey_case(i, WIDE) for i in range(6)] + [
        grey_case(9, WIDE, source=torn(WIDE)),
        grey_case(20, TALL),
    ]
    data = module(tmp_path, cases, batch_size=1)
    loader = data.train_dataloader()
    for _ in range(2):
        seen = [numbers(batch)[0] for batch in loader]
        assert len(seen) == 8
        assert set(seen) == {*range(6), 20}
    assert [*loader.replaced] == ["record 6 (case-9)"]
    assert "damaged picture" in loader.replaced["record 6 (case-9)"]
    assert log.text.count("record 6 (case-9)") == 1


def test_a_bucket_with_nothing_readable_stops_with_its_records(tmp_path):
    data = module(tmp_path, [grey_case(1, source=torn())])
    with pytest.raises(
        ValueError, match=r"no readable record is left in a bucket: record 0 \(case-1\): damaged"
    ):
        list(data.train_dataloader())


def test_validation_leaves_damage_out_beforehand_and_sees_the_rest_once(tmp_path, log):
    write_cases(
        tmp_path / "val.parquet",
        [*(grey_case(i, WIDE if i % 2 else TALL) for i in range(7)), grey_case(8, source=torn())],
    )
    data = module(tmp_path, [grey_case(30 + i) for i in range(4)], val_data=str(tmp_path / "val.parquet"))
    for loader in (data.val_dataloader(), data.test_dataloader()):
        assert sorted(ids(loader)) == sorted(ids(loader)) == [f"case-{i}" for i in range(7)]
        assert len(loader) == 3
    assert sorted(ids(data.train_dataloader())) == [f"case-{30 + i}" for i in range(4)]
    assert data.val_set.faults == {"record 7 (case-8)": data.val_set.faults["record 7 (case-8)"]}


def test_held_out_cases_are_not_trained_on(tmp_path):
    data = module(tmp_path, [grey_case(i) for i in range(24)], val_cases=8)
    held, train = ids(data.val_dataloader()), ids(data.train_dataloader())
    assert len(held) == 8
    assert {task for batch in data.val_dataloader() for task in batch.task} == {
        c.task for c in map(grey_case, range(8))
    }
    assert sorted(held + train) == sorted(f"case-{i}" for i in range(24))


def test_a_stage_without_data_names_the_flags(tmp_path):
    with pytest.raises(ValueError, match=r"validate: expected --data\.val_data, or --data\.val_cases"):
        module(tmp_path, [grey_case(0)], stage="validate")


def test_prediction_reads_its_own_data_or_the_validation_cases(tmp_path):
    write_cases(tmp_path / "mine.parquet", [grey_case(50)])
    own = RealPrefDataModule("nothing/here", predict_data=str(tmp_path / "mine.parquet"), **SMALL)
    own.setup("predict")
    assert ids(own.predict_dataloader()) == ["case-50"]
    held = module(tmp_path, [grey_case(i) for i in range(6)], stage="predict", val_cases=2)
    assert ids(held.predict_dataloader()) == ids(held.val_dataloader())


@pytest.mark.parametrize(("rule", "kept"), [("mean", {0, 1, 3}), ("best", {0, 3})])
def test_solved_cases_are_left_out_and_the_kept_share_is_reported(tmp_path, log, rule, kept):
    scores = [(1.0,), (4.9, 3.0), (5.0, 4.8), ()]
    cases = [grey_case(i, task="bokeh" if i < 2 else "relighting", **scored(*scores[i])) for i in range(4)]
    data = module(tmp_path, cases, max_score=4.5, score_rule=rule, batch_size=1)
    assert {int(i[5:]) for i in ids(data.train_dataloader())} == kept
    assert f"kept {len(kept)} of 4 cases (bokeh {len(kept) - 1}/2, relighting 1/2)" in log.text


def test_a_filter_that_leaves_nothing_names_the_flag(tmp_path):
    with pytest.raises(ValueError, match=r"--data\.max_score 1 .*nothing is left"):
        module(tmp_path, [grey_case(0, **scored(3.0))], max_score=1.0)


def test_supervised_training_can_ask_for_targets(tmp_path, log):
    data = module(tmp_path, [grey_case(0), grey_case(1, target=flat(9))], need_target=True, batch_size=1)
    assert ids(data.train_dataloader()) == ["case-1"]
    assert "1 not used (1 x no target): record 0 (case-0)" in log.text


def test_balance_draws_rare_tasks_as_often_as_common_ones(tmp_path):
    cases = [grey_case(i, task="bokeh" if i < 15 else "relighting") for i in range(18)]
    data = module(tmp_path, cases, task_balance=True)
    loader = data.train_dataloader()
    tasks = [task for _ in range(10) for batch in loader for task in batch.task]
    assert abs(tasks.count("bokeh") / len(tasks) - 0.5) < 0.03


def test_workers_change_nothing(tmp_path):
    write_cases(
        tmp_path / "x.parquet",
        [grey_case(i, WIDE if i % 3 else TALL) for i in range(20)] + [grey_case(40, TALL, source=torn(TALL))],
    )
    seen = []
    for workers in (0, 2):
        data = RealPrefDataModule(str(tmp_path / "x.parquet"), **(SMALL | {"num_workers": workers}))
        data.setup("fit")
        loader = data.train_dataloader()
        seen.append([ids(loader), ids(loader), loader.replaced])
    assert seen[0] == seen[1]
    assert len(seen[0][2]) == 1


def test_reading_a_case_leaves_the_others_on_disk(tmp_path):
    """A record's pictures are slices of the memory map: building every case costs no memory of their size."""
    write_cases(
        tmp_path / "x.parquet",
        [grey_case(i, source=Picture(flat(i).read() + bytes(1 << 20))) for i in range(8)],
    )
    cases = read_cases(str(tmp_path / "x.parquet"))
    before = pa.total_allocated_bytes()
    kept = list(cases)
    assert pa.total_allocated_bytes() - before < 1 << 20
    assert len(kept[0].source.read()) > 1 << 20


def test_hard_cases_are_drawn_as_often_as_their_weights_say(tmp_path):
    cases = [grey_case(i, weight=3.0 if i < 4 else 1.0) for i in range(8)]
    data = module(tmp_path, cases)
    loader = data.train_dataloader()
    seen = [i for _ in range(4) for i in ids(loader)]
    assert len(seen) == 4 * 8
    hard = sum(int(i[5:]) < 4 for i in seen)
    assert abs(hard / len(seen) - 0.75) <= 4 / len(seen)
    plain = module(tmp_path, cases, weighted=False)
    assert sorted(ids(plain.train_dataloader())) == sorted(f"case-{i}" for i in range(8))
