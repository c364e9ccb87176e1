"""Records a second and memory of the data module: ``python -m benchmarks.data FOLDER``.

The bare read of the same Parquet file is the measure: every row group through pyarrow, its pictures copied out as bytes
and nothing decoded. Each row of the table is a process of its own, so that its memory is its own; they are forked from
one that has done nothing but import, which takes longer than some of the measurements.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import ParamSpec, TypeVar

import pyarrow.parquet as pq
from jsonargparse import auto_cli

from benchmarks.pictures import write_random_cases
from datamodules import RealPrefDataModule
from hpedit.records import read_cases, write_cases

# The paper's data set, and about a tenth of it.
SIZES = (5_000, 55_795)
_BATCH = 8
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Measured:
    """What loading cost: seconds to the first batch, ``rows`` in the ``seconds`` after it, memory at the end."""

    rows: int
    start: float
    seconds: float
    mib: float


def bare(file: Path) -> Measured:
    """Read all of a file as bytes."""
    before, began, rows = memory_mib(), time.monotonic(), 0
    for table in pq.ParquetFile(file).iter_batches(64):
        rows += len([picture["bytes"] for picture in table.column("source").to_pylist()])
    return Measured(rows, 0.0, time.monotonic() - began, memory_mib() - before)


def module(file: Path, workers: int, streaming: bool, resolution: int, batches: int) -> Measured:
    """Load batches as training does."""
    gc.collect()
    before, began = memory_mib(), time.monotonic()
    data = RealPrefDataModule(
        str(file), batch_size=_BATCH, resolution=resolution, num_workers=workers, streaming=streaming
    )
    data.setup("fit")
    loader = iter(data.train_dataloader())
    next(loader)
    first = time.monotonic()
    count = sum(1 for _ in islice(loader, batches))
    return Measured(count * _BATCH, first - began, time.monotonic() - first, memory_mib() - before)


def memory_mib() -> float:
    """Return this process's own memory: pages of a mapped file are the system's, which takes them back at need."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) / 1024


def compare(folder: str, sizes: tuple[int, ...] = SIZES, side: int = 64, batches: int = 500) -> None:
    """Measure memory and speed on every size, then speed with workers on the first, and print a Markdown table.

    Args:
        folder: for the Parquet files, which are written unless they are there.
        sizes: numbers of records; Linux only, for the memory.
        side: of a picture, in pixels; edits have it too.
        batches: batches of 8 that are timed, after the first.
    """
    files = {n: alone(written, Path(folder), n, side) for n in sizes}
    print("| read by | rows | workers | first batch after, s | own memory, MiB | rows/s | of the bare read |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    measure = alone(bare, files[sizes[0]])
    speed = measure.rows / measure.seconds
    print(
        f"| pyarrow, not decoded | {sizes[0]:,} | - | - | {measure.mib:.0f} | {speed:,.0f} | 1 |", flush=True
    )
    runs = [(n, 0, s) for s in (False, True) for n in sizes]
    runs += [(sizes[0], workers, s) for workers in (1, 2) for s in (False, True)]
    for n, workers, streaming in runs:
        f = alone(module, files[n], workers, streaming, side, batches)
        rate, name = f.rows / f.seconds, "streaming" if streaming else "indexed"
        figures = f"{f.start:.1f} | {f.mib:.0f} | {rate:,.0f} | {rate / speed:.3f}"
        print(f"| {name} | {n:,} | {workers} | {figures} |", flush=True)


def alone(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what the function returns in a process of its own."""
    with ProcessPoolExecutor(1, get_context("fork")) as pool:
        return pool.submit(function, *args, **kwargs).result()


def written(folder: Path, number: int, side: int) -> Path:
    """Write records that repeat a row group's worth of pictures, which are slower to draw than to store."""
    file = folder / f"random-{number}-{side}.parquet"
    if not file.exists():
        few = list(read_cases(str(write_random_cases(folder / f"few-{side}.parquet", 64, side))))
        write_cases(file, (replace(few[i % len(few)], case_id=f"random-{i}") for i in range(number)))
    return file


if __name__ == "__main__":
    auto_cli(compare, as_positional=True)
