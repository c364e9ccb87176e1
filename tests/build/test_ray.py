"""The same chain on a Ray cluster of two workers; needs ``ray``, which is no dependency of the project."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from hpedit.build.chain import Build
from hpedit.build.engine import Engine
from hpedit.build.stage import Workers
from tests.support.build_stages import KeepOdd, Thrice, Twice, numbered_items

ROOT = Path(__file__).resolve().parents[2]
STAGES = (Twice(bad_every=10), KeepOdd(), Thrice(bad_every=7))

# In a process of its own: Daft's runner cannot be changed back in one that has used it.
pytestmark = pytest.mark.slow


def on_ray(work: str) -> list[str]:
    # Ray's workers are niced, and get nothing at all on a machine that is busy with other tests.
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112
    import ray  # pyright: ignore[reportMissingImports]  # not in the development environment

    ray.init(num_cpus=2, include_dashboard=False, runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}})
    two = Workers(count=2, batch_size=4)
    stages = tuple(s if isinstance(s, KeepOdd) else replace(s, workers=two) for s in STAGES)
    records = Build(Path(work), stages, Engine(runner="ray")).run(numbered_items(100)).records
    assert records is not None
    return records.light(()).column("item_id").to_pylist()


def test_ray_makes_the_same_records(tmp_path: Path):
    pytest.importorskip("ray", reason="ray is not installed: pip install 'hpedit[ray]'")
    import multiprocessing

    native = Build(tmp_path / "native", STAGES).run(numbered_items(100)).records
    assert native is not None
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(on_ray, (str(tmp_path / "ray"),)) == native.light(()).column("item_id").to_pylist()
