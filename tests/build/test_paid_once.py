"""A build killed while a model works: at most a chunk's calls are paid again, and no case is lost or there twice."""

from __future__ import annotations

import random
import time
from collections import Counter
from multiprocessing import get_context
from pathlib import Path

import pytest

from hpedit.build.chain import Build
from hpedit.build.kinds import CASES
from tests.support.build_stages import numbered_items
from tests.support.paid_stages import paid_stages

CASE_COUNT, CHUNK, KILLS = 24, 4, 3


def build(folder: str) -> None:
    Build(Path(folder) / "work", paid_stages(Path(folder), CHUNK)).run(numbered_items(CASE_COUNT))


def paid(ledger: Path) -> list[str]:
    return ledger.read_text().split() if ledger.exists() else []


@pytest.mark.slow  # a process for each kill
def test_a_build_killed_while_it_edits_and_scores_pays_at_most_a_chunk_a_kill(tmp_path: Path):
    chance, processes = random.Random(1), get_context("forkserver")
    processes.set_forkserver_preload([__name__, "daft"])
    for ledger in [tmp_path / "edits"] * KILLS + [tmp_path / "scores"] * KILLS:
        child = processes.Process(target=build, args=(str(tmp_path),))
        child.start()
        # Some calls later, and then somewhere in one. Scoring a case is two lines.
        wanted = len(paid(ledger)) + chance.randint(1, 9)
        while child.is_alive() and len(paid(ledger)) < wanted:
            time.sleep(0.005)
        time.sleep(chance.uniform(0.0, 0.03))
        assert child.is_alive()
        child.kill()
        child.join()

    records = Build(tmp_path / "work", paid_stages(tmp_path, CHUNK)).run(numbered_items(CASE_COUNT)).records
    assert records is not None
    cases = CASES.records(records.slice(0, len(records)))
    assert [case.case_id for case in cases] == [f"case-{n}" for n in range(CASE_COUNT)]
    for case in cases:
        assert [c.cand_id for c in case.candidates] == [f"{case.case_id}-0", f"{case.case_id}-1"]
        assert [s.cand_id for s in case.scores] == [c.cand_id for c in case.candidates]
    edits, scores = Counter(paid(tmp_path / "edits")), Counter(paid(tmp_path / "scores"))
    assert set(edits) == set(scores) == {case.case_id for case in cases}
    assert CASE_COUNT < edits.total() <= CASE_COUNT + KILLS * CHUNK
    assert 2 * CASE_COUNT < scores.total() <= 2 * (CASE_COUNT + KILLS * CHUNK)
