"""Runs of the quickstart in several variants and seeds, and what became of them. Used by stability and filter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path

# What the reports read of a run besides its held-out scores.
REWARD, SPREAD = "reward/mean", "reward/group_std_mean"
_SMOOTH = 10  # rounds


@dataclass(frozen=True)
class Quickstart:
    """What a run left: held-out scores by round, and curves with a value for each round."""

    variant: str
    seed: int
    rounds: list[int]
    scores: list[float]
    curves: dict[str, list[float]]


def run_all(
    folder: Path,
    settings: Callable[[str, int], Sequence[str]],
    variants: Sequence[str],
    seeds: Sequence[int],
    rounds: int,
    jobs: int,
) -> None:
    """Run the quickstart in every variant and seed that has not been run to its end yet.

    Args:
        folder: where the runs go, one folder each.
        settings: words of the command line of a variant and seed.
        variants: names.
        seeds: seeds of every variant; all variants of a seed come before the next seed.
        rounds: rounds of every run.
        jobs: runs at once, each on one core.
    """

    def start(seed_and_variant: tuple[int, str]) -> str:
        seed, variant = seed_and_variant
        said = _run(folder, f"{variant}_s{seed}", seed, rounds, settings(variant, seed))
        return f"{variant}, seed {seed}: {said}"

    wanted = [
        (s, v) for s, v in product(seeds, variants) if not list(folder.glob(f"{v}_s{s}/*/summary.json"))
    ]
    with ThreadPoolExecutor(jobs) as pool:
        for done in pool.map(start, wanted):
            print(done, flush=True)


def _run(folder: Path, name: str, seed: int, rounds: int, settings: Sequence[str]) -> str:
    words = ["train.py", "fit", "--config", "quickstart.yaml", "--run.dir", str(folder), "--run.name", name]
    words += [f"--trainer.max_epochs={rounds}", "--trainer.enable_progress_bar=false"]
    words += [f"--seed_everything={seed}", f"--model.seed={seed}"]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    result = subprocess.run([sys.executable, *words, *settings], env=env, capture_output=True, text=True)
    lines = (result.stdout + result.stderr).splitlines()
    return " ".join([line for line in lines if line.startswith(("held-out", "error"))] or lines[-1:])


def read_runs(folder: Path, variants: Sequence[str]) -> list[Quickstart]:
    """Read the finished runs of ``run_all``, by variant and seed. Raises ValueError where there are none."""
    every = [_read(file.parent) for file in folder.glob("*_s*/version_0/summary.json")]
    runs = [run for run in every if run.variant in variants]
    if not runs:
        raise ValueError(f"folder: wanted finished runs in {folder}, found none; say run first")
    return sorted(runs, key=lambda r: (list(variants).index(r.variant), r.seed))


def _read(folder: Path) -> Quickstart:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    curve = json.loads((folder / "summary.json").read_text())["curve"]
    events = EventAccumulator(str(folder), {"scalars": 0})
    events.Reload()
    variant, _, seed = folder.parent.name.rpartition("_s")
    return Quickstart(
        variant,
        int(seed),
        rounds=[point["round"] for point in curve],
        scores=[point["val/hp_score"] for point in curve],
        curves={tag: [event.value for event in events.Scalars(tag)] for tag in (REWARD, SPREAD)},
    )


def ends(curve: Sequence[float]) -> str:
    """Return the means of a curve's first and last ten rounds, as text."""
    first, last = curve[:_SMOOTH], curve[-_SMOOTH:]
    return f"{sum(first) / len(first):.2f} -> {sum(last) / len(last):.2f}"


def smoothed(curve: Sequence[float]) -> list[float]:
    """Return the mean of each value and up to nine before it."""
    windows = [curve[max(0, i + 1 - _SMOOTH) : i + 1] for i in range(len(curve))]
    return [sum(window) / len(window) for window in windows]


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rows])


def draw(runs: Sequence[Quickstart], plot: Path, bold: str) -> None:
    """Draw held-out scores and the spread inside groups, a colour for each variant, the lines of ``bold`` thicker."""
    import matplotlib.pyplot as plt

    variants = list(dict.fromkeys(run.variant for run in runs))
    colours = dict(zip(variants, plt.colormaps["tab10"].colors, strict=False))  # type: ignore[attr-defined]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), dpi=110)
    for run in runs:
        label = run.variant if run.seed == min(r.seed for r in runs if r.variant == run.variant) else None
        look = {"color": colours[run.variant], "linewidth": 2.2 if run.variant == bold else 1.2}
        left.plot(run.rounds, run.scores, label=label, marker=".", **look)
        spread = smoothed(run.curves[SPREAD])
        right.plot(range(1, len(spread) + 1), spread, **look)
    left.set(xlabel="round", ylabel="held-out HP-Score", title="128 held-out cases; one line a seed")
    right.set(xlabel="round", ylabel="reward spread inside groups", title="mean of the last ten rounds")
    left.legend(fontsize=8)
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(plot)
