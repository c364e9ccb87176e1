"""Time and memory of the stages of a build against the number of rows: ``python -m benchmarks.build compare FOLDER``.

The stages that call no model, on small pictures. What a stage reads is made beforehand, and each measurement is a
process of its own, so that its peak is its own. Linux only, for the memory.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Literal

from jsonargparse import auto_cli

from benchmarks import build_inputs
from hpedit.build.chunks import ParquetRecords
from hpedit.build.engine import Engine
from hpedit.build.stage import Recipe
from hpedit.build.step import Stage, Step

Name = Literal["collect", "deduplicate", "balance", "filter", "publish"]
NAMES: tuple[Name, ...] = ("collect", "deduplicate", "balance", "filter", "publish")
# The paper's data set, and about a tenth of it.
SIZES = (5_000, 55_795)


def prepare(folder: Path, name: Name, rows: int, side: int) -> ParquetRecords:
    """Return ``rows`` records for a stage to read, made unless they are there."""
    if name == "collect":
        return build_inputs.items(folder, rows, side)
    if name == "deduplicate":
        return build_inputs.photos(folder, rows, side)
    return build_inputs.cases(folder, rows, side, scored=name != "balance")


def stage_of(folder: Path, name: Name, rows: int, side: int) -> Stage:
    """Return a stage, of whose modules no more is imported than it needs itself."""
    if name == "collect":
        return build_inputs.collect(folder, rows, side)
    module = import_module(f"hpedit.build.{name}")
    return module.Balance(size=rows // 2) if name == "balance" else getattr(module, name.capitalize())()


def measure(folder: Path, name: Name, rows: int, side: int) -> None:
    """Run a stage in this process, and print counts, seconds and MiB of memory as JSON."""
    stage, records = stage_of(folder, name, rows, side), prepare(folder, name, rows, side)
    before, began = _mib("VmRSS"), time.monotonic()
    _, done = Step(records, folder / f"{name}-{rows}-{side}", Engine()).do(stage, Recipe(()))
    figures = {"seconds": time.monotonic() - began, "before": before, "peak": _mib("VmHWM")}
    print(json.dumps({"in": done.records_in, "out": done.records_out, **figures}))


def _mib(field: str) -> float:
    # Not resource.getrusage: its peak is inherited from the process that started this one.
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) / 1024


def compare(
    folder: Path, sizes: tuple[int, ...] = SIZES, side: int = 64, stages: tuple[Name, ...] = NAMES
) -> None:
    """Measure stages on data of several sizes, and print a table.

    Args:
        folder: for pictures and results; a stage that is done there is not timed again, so name a new one.
        sizes: numbers of rows.
        side: of a picture, in pixels.
        stages: which.
    """
    print("| stage | in | out | s | rows/s | MiB before | peak MiB |\n|---|---:|---:|---:|---:|---:|---:|")
    for name in stages:
        for rows in sizes:
            prepare(folder, name, rows, side)
            words = ["measure", str(folder), name, str(rows), str(side)]
            command = [sys.executable, "-m", "benchmarks.build", *words]
            reply = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            f = json.loads(reply.splitlines()[-1])
            figures = (
                f"{f['seconds']:.1f} | {f['in'] / f['seconds']:,.0f} | {f['before']:.0f} | {f['peak']:.0f}"
            )
            print(f"| {name} | {f['in']:,} | {f['out']:,} | {figures} |", flush=True)


if __name__ == "__main__":
    auto_cli([compare, measure], as_positional=True)
