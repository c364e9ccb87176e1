"""Time and memory of a build against its number of rows: ``python -m benchmarks.build compare FOLDER``.

Small pictures through the stages that call no model. Each size is a process of its own, so that its peak is its own.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from jsonargparse import auto_cli
from PIL import Image

from hpedit.build.chain import Build
from hpedit.build.collect import Collect
from hpedit.build.deduplicate import Deduplicate
from hpedit.build.sources import Folder

# The paper's data set, and about a tenth of it.
SIZES = (5_000, 55_795)


def write_photos(folder: Path, number: int, side: int) -> Path:
    """Write ``number`` smooth random JPEGs, no two of them alike, unless they are there."""
    draw = np.random.default_rng(0)
    for n in range(number):
        coarse = draw.integers(0, 256, (8, 8, 3), np.uint8)
        file = folder / f"{n // 1000:03d}" / f"{n:06d}.jpg"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC).save(file, quality=85)
    return folder


def measure(photos: str, work: str, chunk_rows: int = 256) -> None:
    """Build in this process, and print seconds by stage and the peak of memory as JSON."""
    collect = Collect((Folder(photos),), min_side=16, chunk_rows=chunk_rows)
    began = time.monotonic()
    items = collect.items()
    listed = time.monotonic() - began
    built = Build(Path(work), (collect, Deduplicate(chunk_rows=chunk_rows))).run(items)
    stages = {s.name: [s.records_in, s.records_out, s.seconds] for s in built.recipe.stages}
    figures = {"list": listed, "stages": stages, "total": time.monotonic() - began, "peak_mib": _peak_mib()}
    print(json.dumps(figures))


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def compare(folder: str, sizes: tuple[int, ...] = SIZES, side: int = 64) -> None:
    """Build data sets of several sizes, and print a table.

    Args:
        folder: for pictures and builds; a build that is there is not timed again, so name a new one.
        sizes: numbers of pictures.
        side: of a picture, in pixels.
    """
    print(
        "| rows | list s | stage: in -> out, s | total s | rows/s | peak RSS MiB |\n|---:|---:|---|---:|---:|---:|"
    )
    for number in sizes:
        photos = write_photos(Path(folder, f"photos-{number}"), number, side)
        command = [
            sys.executable,
            "-m",
            "benchmarks.build",
            "measure",
            str(photos),
            str(Path(folder, f"work-{number}")),
        ]
        reply = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        f = json.loads(reply.splitlines()[-1])
        stages = "; ".join(f"{name}: {n:,} -> {m:,}, {s:.1f}" for name, (n, m, s) in f["stages"].items())
        speed = number / f["total"]
        print(
            f"| {number:,} | {f['list']:.1f} | {stages} | {f['total']:.0f} | {speed:.0f} | {f['peak_mib']:.0f} |"
        )


if __name__ == "__main__":
    auto_cli([compare, measure], as_positional=True)
