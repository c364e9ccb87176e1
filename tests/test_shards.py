"""Streaming files: any point of a shard, and no more of it in memory than is needed."""

import time

import pyarrow as pa
import pytest

from hpedit.pictures import Picture
from hpedit.records import write_cases
from hpedit.shards import open_shards
from tests.support.cases import flat, grey_case


def ids(rows):
    return [row["case_id"] for row in rows]


@pytest.mark.parametrize("start", [0, 1, 63, 64, 65, 149, 150, 999])
def test_a_shard_is_read_from_any_record_on(tmp_path, start):
    write_cases(tmp_path / "x.parquet", [grey_case(i % 200) for i in range(150)])
    shards = open_shards(str(tmp_path))
    assert ids(shards.rows(0, start)) == [f"case-{i}" for i in range(start, 150)]


def test_reading_does_not_run_ahead_of_a_slow_reader(tmp_path):
    padded = Picture(flat(1).read() + bytes(range(256)) * 100)
    write_cases(tmp_path / "x.parquet", [grey_case(1, source=padded) for _ in range(64 * 8)])
    before = pa.total_allocated_bytes()
    rows = open_shards(str(tmp_path)).rows(0, 0)
    next(rows)
    time.sleep(0.2)
    assert pa.total_allocated_bytes() - before < 2 * 64 * 25_600


def test_a_file_of_another_kind_is_named_with_the_flag(tmp_path):
    (tmp_path / "x.parquet").write_text("no table")
    with pytest.raises(ValueError, match=r"^--data\.data=.*cannot be streamed: ArrowInvalid"):
        open_shards(str(tmp_path), "--data.data")
