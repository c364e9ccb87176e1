"""What a user of a build may rely on: nothing is lost, nothing is done twice, and what failed is named."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from hpedit.build.chain import Build
from hpedit.build.chunks import ParquetRecords
from hpedit.build.engine import Engine
from hpedit.build.stage import Workers
from hpedit.build.step import Stage
from tests.support.build_stages import KeepOdd, Print, Thrice, Twice, numbered_items

ROOT = Path(__file__).resolve().parents[2]


def ids(records: ParquetRecords | None) -> list[str]:
    assert records is not None
    return records.light(()).column("item_id").to_pylist()


def run(work: Path, *stages: Stage, count: int = 33, engine: Engine = Engine()) -> list[str]:
    return ids(Build(work, stages, engine).run(numbered_items(count)).records)


def expected(count: int) -> list[str]:
    """What Twice, KeepOdd and Thrice make of ``count`` items."""
    return [f"i{n:04d}{a}{b}" for n in range(count) for a in "ab" for b in "ab" if n % 2]


def test_records_keep_their_order_through_all_kinds_of_stages(tmp_path: Path):
    assert run(tmp_path, Twice(), KeepOdd(), Thrice(chunk_rows=8)) == expected(33)


def test_a_finished_build_does_nothing_again(tmp_path: Path):
    stages = (Twice(str(tmp_path / "paid")), KeepOdd())
    once = run(tmp_path / "work", *stages)
    assert run(tmp_path / "work", *stages) == once
    assert len((tmp_path / "paid").read_text().split()) == 33


def test_a_changed_setting_redoes_its_stage_and_what_follows_and_nothing_before(tmp_path: Path):
    first, second = tmp_path / "first", tmp_path / "second"
    run(tmp_path / "work", Twice(str(first)), Thrice(str(second)))
    run(tmp_path / "work", Twice(str(first)), Thrice(str(second), suffix="xyz"))
    assert (len(first.read_text().split()), len(second.read_text().split())) == (33, 132)
    run(tmp_path / "work", Twice(str(first), suffix="c"), Thrice(str(second)))
    assert (len(first.read_text().split()), len(second.read_text().split())) == (66, 165)
    # The first settings again: their results are still there.
    run(tmp_path / "work", Twice(str(first)), Thrice(str(second)))
    assert (len(first.read_text().split()), len(second.read_text().split())) == (66, 165)


def test_other_workers_are_no_changed_setting(tmp_path: Path):
    stage = Twice(str(tmp_path / "paid"))
    run(tmp_path / "work", stage)
    run(tmp_path / "work", replace(stage, workers=Workers(batch_size=1)))
    assert len((tmp_path / "paid").read_text().split()) == 33


def test_what_fails_is_quarantined_with_its_reason_and_the_rest_goes_on(tmp_path: Path):
    stages = (Twice(bad_every=10, raise_every=7), KeepOdd(remainder=1))
    built = Build(tmp_path, stages).run(numbered_items(33))
    records, recipe = built.records, built.recipe
    bad = {n for n in range(33) if n % 10 == 0 or n % 7 == 0}
    assert ids(records) == [f"i{n:04d}{a}" for n in range(33) for a in "ab" if n % 2 and n not in bad]
    lines = [
        line for f in sorted(tmp_path.rglob("*.quarantine.jsonl")) for line in f.read_text().splitlines()
    ]
    assert len(lines) == len(bad) == recipe.stages[0].quarantined
    assert recipe.stages[0].reasons["a multiple"] == 3  # 10, 20, 30; 0 raises
    assert recipe.stages[0].reasons["KeyError: 'no 21'"] == 1
    assert '"record": "i0021", "stage": "twice"' in "".join(lines)


def test_a_chunk_of_failures_stops_the_build_and_is_done_again(tmp_path: Path):
    with pytest.raises(ValueError, match=r"twice: 10 of the 10 records of chunk 0 failed.*'a multiple'"):
        run(tmp_path / "work", Twice(str(tmp_path / "paid"), bad_every=1))
    assert not list(tmp_path.rglob("chunk-*"))
    assert len((tmp_path / "paid").read_text().split()) == 10


def test_a_retry_does_chunks_with_failures_again_and_what_follows(tmp_path: Path):
    """The work fails where a file says so: a scorer that was down for a while."""
    down = tmp_path / "down"
    down.write_text("13 27")
    build = Build(tmp_path / "work", (Twice(str(tmp_path / "paid"), down=str(down)), KeepOdd()))
    assert build.run(numbered_items(33)).recipe.stages[0].quarantined == 2
    down.write_text("")
    assert build.run(numbered_items(33)).recipe.stages[0].quarantined == 2
    built = build.run(numbered_items(33), retry="twice")
    assert ids(built.records) == [f"i{n:04d}{a}" for n in range(33) for a in "ab" if n % 2]
    assert built.recipe.stages[0].quarantined == 0
    assert not list(tmp_path.rglob("*.quarantine.jsonl"))
    assert len((tmp_path / "paid").read_text().split()) == 33 + 20  # two chunks of ten


def test_a_server_that_is_away_stops_the_build_before_anything_is_paid(tmp_path: Path):
    with pytest.raises(ConnectionError, match="nobody answers"):
        run(tmp_path / "work", Twice(str(tmp_path / "paid"), suffix="unreachable"))
    assert not (tmp_path / "paid").exists()


def test_a_stage_that_keeps_nothing_says_so(tmp_path: Path):
    with pytest.raises(
        ValueError, match=r"stage odd: none of its 66 records is left \(0 quarantined, 66 left out\): kept: 0"
    ):
        run(tmp_path, Twice(), KeepOdd(remainder=5))


def test_added_columns_stay_with_their_records(tmp_path: Path):
    records = Build(tmp_path, (Twice(), KeepOdd())).run(numbered_items(33)).records
    assert records is not None
    light = records.light(("rank",)).to_pydict()
    assert light["rank"] == [2 * int(i[1:5]) + "ab".index(i[5]) for i in light["item_id"]]


def test_an_export_sees_everything_once_and_is_not_done_again(tmp_path: Path):
    build = Build(tmp_path, (Twice(), KeepOdd(), Print()))
    recipe = build.run(numbered_items(33)).recipe
    assert recipe.stages[-1].notes == {"stages": ["twice", "odd"]}
    [file] = tmp_path.rglob("ids.txt")
    assert len(file.read_text().split()) == 32
    made = file.stat().st_mtime_ns
    build.run(numbered_items(33))
    assert file.stat().st_mtime_ns == made


def test_until_stops_after_a_stage_and_knows_the_names(tmp_path: Path):
    build = Build(tmp_path, (Twice(), KeepOdd()))
    assert len(ids(build.run(numbered_items(4), until="twice").records)) == 8
    with pytest.raises(ValueError, match="--until: wanted one of the stages twice, odd, got 'three'"):
        build.run(numbered_items(4), until="three")


def test_two_builds_in_one_folder_are_refused(tmp_path: Path):
    from filelock import FileLock

    with FileLock(tmp_path / ".lock"), pytest.raises(ValueError, match="another build is at work"):
        run(tmp_path, Twice())


@pytest.mark.slow  # the workers are new processes
def test_more_workers_make_the_same_records(tmp_path: Path):
    stage = Twice(workers=Workers(count=2, batch_size=4))
    assert run(tmp_path / "two", stage) == run(tmp_path / "one", Twice())


def slow_stages(folder: Path, workers: int) -> tuple[Stage, ...]:
    """Stages that take some seconds for 200 items, and keep count of what was paid for."""
    twice = Twice(str(folder / "paid1"), seconds=0.01, workers=Workers(count=workers, batch_size=4))
    return twice, KeepOdd(), Thrice(str(folder / "paid2"), seconds=0.01)


def chunks_of(folder: Path) -> list[Path]:
    return list(folder.rglob("chunk-*.parquet"))


@pytest.mark.slow  # a process for each kill
@pytest.mark.parametrize(("workers", "kills"), [(1, 3), (2, 1)])
def test_a_build_killed_at_random_moments_ends_as_one_that_was_not(tmp_path: Path, workers: int, kills: int):
    count, chance = 200, random.Random(8)
    script = (
        "import sys; from pathlib import Path; from hpedit.build.chain import Build;"
        "from tests.build.test_chain import numbered_items, slow_stages; folder = Path(sys.argv[1]);"
        f"Build(folder / 'work', slow_stages(folder, {workers})).run(numbered_items({count}))"
    )
    for _ in range(kills):
        child = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, stderr=subprocess.DEVNULL
        )
        # Some of its 69 chunks later, and then somewhere in one.
        wanted = len(chunks_of(tmp_path)) + chance.randint(1, 12)
        while child.poll() is None and len(chunks_of(tmp_path)) < wanted:
            time.sleep(0.01)
        time.sleep(chance.uniform(0.0, 0.05))
        assert child.poll() is None
        child.send_signal(signal.SIGKILL)
        child.wait()
    time.sleep(1.0)  # the killed build's workers are gone by now
    there = len(chunks_of(tmp_path))
    assert 0 < there < 69
    assert run(tmp_path / "work", *slow_stages(tmp_path, workers), count=count) == expected(count)
    for ledger in ("paid1", "paid2"):
        paid = Counter((tmp_path / ledger).read_text().split())
        assert len(paid) == count
        assert sum(paid.values()) - count <= kills * workers * 10  # a chunk a worker a kill
    assert sum(pq.read_metadata(file).num_rows for file in chunks_of(tmp_path)) == 5 * count
