"""Records a second and memory of the data module: ``python -m benchmarks.data FOLDER``.

The bare read of the same Parquet file is the measure: every row group through pyarrow, its pictures copied out as bytes
and nothing decoded. Each row of the table is a process of its own, so that its memory is its own.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pyarrow.parquet as pq
from jsonargparse import auto_cli

from benchmarks.pictures import write_random_cases
from hpedit.records import read_cases, write_cases

# The paper's data set, and about a tenth of it.
SIZES = (5_000, 55_795)
_BATCH = 8


def bare(file: str) -> None:
    """Read all of a file as bytes, and print what it took as JSON."""
    began, rows = time.monotonic(), 0
    for table in pq.ParquetFile(file).iter_batches(64):
        rows += len([picture["bytes"] for picture in table.column("source").to_pylist()])
    _tell(rows, 0.0, time.monotonic() - began, memory_mib())


def module(file: str, workers: int, streaming: bool, resolution: int, batches: int) -> None:
    """Load batches as training does, and print seconds to the first and of the others, and memory, as JSON."""
    from datamodules import RealPrefDataModule

    gc.collect()
    before, began = memory_mib(), time.monotonic()
    data = RealPrefDataModule(
        file, batch_size=_BATCH, resolution=resolution, num_workers=workers, streaming=streaming
    )
    data.setup("fit")
    loader = iter(data.train_dataloader())
    next(loader)
    first = time.monotonic()
    count = sum(1 for _ in islice(loader, batches))
    _tell(count * _BATCH, first - began, time.monotonic() - first, memory_mib() - before)


def memory_mib() -> float:
    """Return this process's own memory: pages of a mapped file are the system's, which takes them back at need."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) / 1024


def _tell(rows: int, start: float, seconds: float, mib: float) -> None:
    print(json.dumps({"rows": rows, "start": start, "seconds": seconds, "mib": mib}))


def compare(folder: str, sizes: tuple[int, ...] = SIZES, side: int = 64, batches: int = 500) -> None:
    """Measure memory and speed on every size, then speed with workers on the first, and print a Markdown table.

    Args:
        folder: for the Parquet files, which are written unless they are there.
        sizes: numbers of records; Linux only, for the memory.
        side: of a picture, in pixels; edits have it too.
        batches: batches of 8 that are timed, after the first.
    """
    files = {n: _written(Path(folder), n, side) for n in sizes}
    print("| read by | rows | workers | first batch after, s | own memory, MiB | rows/s | of the bare read |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    measure = _process("bare", str(files[sizes[0]]))
    speed = measure["rows"] / measure["seconds"]
    print(f"| pyarrow, not decoded | {sizes[0]:,} | - | - | - | {speed:,.0f} | 1 |", flush=True)
    runs = [(n, 0, s) for s in (False, True) for n in sizes]
    runs += [(sizes[0], workers, s) for workers in (1, 2) for s in (False, True)]
    for n, workers, streaming in runs:
        f = _process("module", str(files[n]), str(workers), str(streaming), str(side), str(batches))
        rate, name = f["rows"] / f["seconds"], "streaming" if streaming else "indexed"
        figures = f"{f['start']:.1f} | {f['mib']:.0f} | {rate:,.0f} | {rate / speed:.3f}"
        print(f"| {name} | {n:,} | {workers} | {figures} |", flush=True)


def _written(folder: Path, number: int, side: int) -> Path:
    """Write records that repeat a row group's worth of pictures, which are slower to draw than to store."""
    file = folder / f"random-{number}-{side}.parquet"
    if not file.exists():
        few = list(read_cases(str(write_random_cases(folder / f"few-{side}.parquet", 64, side))))
        write_cases(file, (replace(few[i % len(few)], case_id=f"random-{i}") for i in range(number)))
    return file


def _process(*words: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.data", *words]
    reply = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(reply.splitlines()[-1])


if __name__ == "__main__":
    auto_cli([compare, bare, module], as_positional=True)
