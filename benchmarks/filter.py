"""Does the hard-case filter help? The quickstart on a build's published cases with and without it: docs/filter.md.

python -m hpedit.miniature data data/scenes --train 5200
python -m benchmarks.filter build runs/filter    # 5,000 scenes, edited and scored once, published once for each filter
python -m benchmarks.filter run runs/filter      # what is done is not done again
python -m benchmarks.filter report runs/filter   # the tables, and docs/filter.png
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from jsonargparse import auto_cli

from benchmarks.quickstarts import REWARD, SPREAD, Quickstart, draw, ends, markdown, read_runs, run_all

# A filter's settings on top of configs/build_miniature.yaml, whose own rule drops easy and hopeless cases.
FILTERS: dict[str, tuple[str, ...]] = {
    "unfiltered": ("--filter.rule=null",),
    "filtered": (),
    "weighted": ("--filter.rule=null", "--filter.difficulty.least=0.1"),
}


_HELD_OUT = Path("data/scenes/held_out.parquet")


def build(folder: Path) -> None:
    """Publish the same scored cases once for each filter, in one work folder.

    Args:
        folder: of the whole experiment.
    """
    command = [sys.executable, "-m", "hpedit", "build", "--config", "build_miniature.yaml"]
    for settings in FILTERS.values():
        subprocess.run([*command, f"--work={_work(folder)}", *settings], check=True)


def run(
    folder: Path,
    filters: tuple[str, ...] = ("unfiltered", "filtered"),
    seeds: tuple[int, ...] = (0, 1, 2),
    rounds: int = 30,
    jobs: int = 2,
) -> None:
    """Run the quickstart on every data set and seed that has not been run yet: equal rounds, equal cases a round.

    Args:
        folder: of the whole experiment; ``build`` comes first.
        filters: names of FILTERS.
        seeds: seeds of every filter: of adapter, noise and order of the cases.
        rounds: rounds of every run, as in the quickstart.
        jobs: runs at once, each on one core.
    """
    data = {name: published(_work(folder), name) for name in filters}

    def settings(name: str, seed: int) -> list[str]:
        words = [f"--data.data={data[name]}", f"--data.seed={seed}", f"--data.val_data={_HELD_OUT}"]
        return [*words, "--trainer.check_val_every_n_epoch=5"]

    run_all(folder, settings, filters, seeds, rounds, jobs)


def report(folder: Path, plot: Path = Path("docs/filter.png")) -> None:
    """Print what became of build and runs as Markdown tables, and draw the held-out curves.

    Args:
        folder: of the whole experiment.
        plot: the picture to write.
    """
    runs = read_runs(folder, list(FILTERS))
    head = ["data", "seed", *map(str, runs[0].rounds), "gain", "spread in groups", "reward"]
    print(markdown(head, list(map(_row, runs))))
    print("\n".join(["", *gains(runs)]))
    draw(runs, plot, bold="filtered")


def published(work: Path, name: str) -> Path:
    """Return the data set that a filter of FILTERS left in a work folder, told by the settings in its recipe.

    Raises ValueError where there is none.
    """
    for recipe in sorted(work.glob("*-publish-*/recipe.json")):
        stages = json.loads(recipe.read_text(encoding="utf-8"))["stages"]
        if name == _filter_name(next(s["settings"] for s in stages if s["name"] == "filter")):
            return recipe.parent
    raise ValueError(f"folder: wanted {name} cases published in {work}, found none; say build first")


def _filter_name(settings: dict[str, Any]) -> str:
    if settings["difficulty"] is not None:
        return "weighted"
    return "unfiltered" if settings["rule"] is None else "filtered"


def _work(folder: Path) -> Path:
    return folder / "build"


def _row(run: Quickstart) -> list[str]:
    scores = [f"{score:.2f}" for score in run.scores]
    curves = [ends(run.curves[tag]) for tag in (SPREAD, REWARD)]
    return [run.variant, str(run.seed), *scores, f"{_gain(run):.2f}", *curves]


def _gain(run: Quickstart) -> float:
    return run.scores[-1] - run.scores[0]


def gains(runs: list[Quickstart]) -> list[str]:
    """Return a line for each data set: gains over the seeds, and their differences to "unfiltered", seed by seed."""
    gains = {name: {r.seed: _gain(r) for r in runs if r.variant == name} for name in FILTERS}
    lines = []
    for name in filter(gains.get, gains):
        text = f"{name}: gain {_mean_and_spread(list(gains[name].values()))}"
        common = sorted(gains[name].keys() & gains["unfiltered"].keys())
        if name != "unfiltered" and common:
            differences = [gains[name][seed] - gains["unfiltered"][seed] for seed in common]
            text += f"; against unfiltered, seed by seed, {_mean_and_spread(differences)}"
        lines.append(text)
    return lines


def _mean_and_spread(values: list[float]) -> str:
    each = ", ".join(f"{value:+.2f}" for value in values)
    spread = f" +- {stdev(values):.2f}" if len(values) > 1 else ""
    return f"{fmean(values):+.3f}{spread} (each: {each})"


if __name__ == "__main__":
    auto_cli([build, run, report], as_positional=True)
