"""Records a second and memory of the data module: ``python -m benchmarks.data FOLDER``.

The bare read of the same Parquet file is the measure: every row group through pyarrow, its pictures copied out as bytes
and nothing decoded. Each row of the tables is a process of its own, so that its memory is its own.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import pyarrow.parquet as pq
from jsonargparse import auto_cli

from benchmarks.pictures import write_random_cases

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
    """Measure speed on the first size and memory on all, and print Markdown tables.

    Args:
        folder: for the Parquet files, which are written unless they are there.
        sizes: numbers of records; Linux only, for the memory.
        side: of a picture, in pixels; edits have it too.
        batches: batches of 8 that are timed, after the first.
    """
    files = {n: _written(Path(folder, f"random-{n}-{side}.parquet"), n, side) for n in sizes}
    first = files[sizes[0]]
    measure = _process("bare", str(first))
    speed = measure["rows"] / measure["seconds"]
    print(
        "| read by | workers | first batch after, s | rows/s | of the bare read |\n|---|---:|---:|---:|---:|"
    )
    print(f"| pyarrow, not decoded | - | - | {speed:,.0f} | 1 |")
    for streaming in (False, True):
        for workers in (0, 1, 2):
            f = _process("module", str(first), str(workers), str(streaming), str(side), str(batches))
            rate = f["rows"] / f["seconds"]
            name = "streaming" if streaming else "indexed"
            print(f"| {name}, decoded | {workers} | {f['start']:.1f} | {rate:,.0f} | {rate / speed:.3f} |")
    print(
        "\n| rows | indexed: first batch after, s | own memory, MiB | streaming: s | MiB |\n|---:|---:|---:|---:|---:|"
    )
    for n, file in files.items():
        a, b = (_process("module", str(file), "0", str(s), str(side), "150") for s in (False, True))
        print(f"| {n:,} | {a['start']:.1f} | {a['mib']:.0f} | {b['start']:.1f} | {b['mib']:.0f} |")


def _written(file: Path, number: int, side: int) -> Path:
    return file if file.exists() else write_random_cases(file, number, side)


def _process(*words: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.data", *words]
    reply = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(reply.splitlines()[-1])


if __name__ == "__main__":
    auto_cli([compare, bare, module], as_positional=True)
