"""Long runs of the quickstart under each guard, and what became of them: docs/stability.md.

python -m benchmarks.stability run runs/stability      # hours on two cores; what is done is not done again
python -m benchmarks.stability report runs/stability   # the table, and docs/stability.png
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from jsonargparse import auto_cli

_GROUP = ("--model.loss.advantage_norm", "group")
_DECAY = "--model.lr_scheduler"
# A guard's settings on top of configs/quickstart.yaml; {updates} is the number of updates of the whole run.
GUARDS: dict[str, tuple[str, ...]] = {
    "batch": (),
    "group": _GROUP,
    "group_kl": (*_GROUP, "--model.loss.kl_weight", "0.04"),
    "group_light_kl": (*_GROUP, "--model.loss.kl_weight", "0.004"),
    "group_threshold": (*_GROUP, "--model.loss.min_group_std", "0.1"),
    "group_decay": (
        *(*_GROUP, _DECAY, "torch.optim.lr_scheduler.LinearLR", f"{_DECAY}.start_factor", "1.0"),
        *(f"{_DECAY}.end_factor", "0.0", f"{_DECAY}.total_iters", "{updates}"),
    ),
    "group_ema": (*_GROUP, "--trainer.callbacks+=callbacks.ema.TrainedWeightsEMA"),
}
_UPDATES_PER_ROUND = 2
# Curves of a run whose first and last rounds the report compares.
_TAGS = ("reward/mean", "reward/group_std_mean")


@dataclass(frozen=True)
class LongRun:
    """What a run left: held-out scores by round, and the round means of some curves."""

    guard: str
    seed: int
    rounds: list[int]
    scores: list[float]
    curves: dict[str, list[float]]

    @property
    def fall(self) -> float:
        """How far the last held-out score lies below the highest one."""
        return max(self.scores) - self.scores[-1]


def run(folder: Path, seeds: tuple[int, ...] = (0, 1, 2), rounds: int = 90, jobs: int = 2) -> None:
    """Run the quickstart under every guard and seed that has not been run yet.

    Args:
        folder: where the runs go, one folder each.
        seeds: seeds of every guard.
        rounds: rounds of every run; the quickstart has 30.
        jobs: runs at once, each on one core.
    """
    wanted = [(g, s) for s, g in product(seeds, GUARDS) if not list(folder.glob(f"{g}_s{s}/*/summary.json"))]
    with ThreadPoolExecutor(jobs) as pool:
        for done in pool.map(lambda pair: _run(folder, *pair, rounds), wanted):
            print(done, flush=True)


def _run(folder: Path, guard: str, seed: int, rounds: int) -> str:
    settings = [word.format(updates=rounds * _UPDATES_PER_ROUND) for word in GUARDS[guard]]
    words = ["train.py", "fit", "--config", "quickstart.yaml"]
    words += ["--run.dir", str(folder), "--run.name", f"{guard}_s{seed}"]
    words += ["--seed_everything", str(seed), "--model.seed", str(seed)]
    words += ["--trainer.max_epochs", str(rounds), "--trainer.enable_progress_bar", "false"]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    result = subprocess.run([sys.executable, *words, *settings], env=env, capture_output=True, text=True)
    lines = (result.stdout + result.stderr).splitlines()
    said = [line for line in lines if line.startswith(("held-out", "error"))] or lines[-1:]
    return f"{guard}, seed {seed}: {' '.join(said)}"


def report(folder: Path, plot: Path = Path("docs/stability.png")) -> None:
    """Print what became of the runs as a Markdown table, and draw their held-out curves.

    Args:
        folder: where ``run`` wrote them.
        plot: the picture to write.
    """
    runs = [_read(file.parent) for file in sorted(folder.glob("*_s*/version_0/summary.json"))]
    if not runs:
        raise ValueError(f"folder: wanted finished runs in {folder}, found none; say run first")
    print("\n".join(_table(runs)))
    _draw(runs, plot)


def _read(folder: Path) -> LongRun:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    curve = json.loads((folder / "summary.json").read_text())["curve"]
    events = EventAccumulator(str(folder), {"scalars": 0})
    events.Reload()
    guard, _, seed = folder.parent.name.rpartition("_s")
    return LongRun(
        guard,
        int(seed),
        rounds=[point["round"] for point in curve],
        scores=[point["val/hp_score"] for point in curve],
        curves={tag: [event.value for event in events.Scalars(tag)] for tag in _TAGS},
    )


def _table(runs: list[LongRun]) -> list[str]:
    every = runs[0].rounds
    head = ["guard", "seed", *map(str, every), "peak - end", "spread in groups", "reward"]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for r in sorted(runs, key=lambda r: (list(GUARDS).index(r.guard), r.seed)):
        spread, reward = (_ends(r.curves[tag]) for tag in ("reward/group_std_mean", "reward/mean"))
        cells = [r.guard, str(r.seed), *(f"{s:.2f}" for s in r.scores), f"{r.fall:.2f}", spread, reward]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _ends(curve: list[float]) -> str:
    """Return the means of a curve's first and last ten rounds."""
    first, last = curve[:10], curve[-10:]
    return f"{sum(first) / len(first):.2f} -> {sum(last) / len(last):.2f}"


def _draw(runs: list[LongRun], plot: Path) -> None:
    import matplotlib.pyplot as plt

    colours = dict(zip(GUARDS, plt.colormaps["tab10"].colors, strict=False))  # type: ignore[attr-defined]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), dpi=110)
    for r in runs:
        label = r.guard if r.seed == min(o.seed for o in runs if o.guard == r.guard) else None
        width = 2.2 if r.guard == "batch" else 1.2
        left.plot(r.rounds, r.scores, color=colours[r.guard], label=label, linewidth=width, marker=".")
        spread = r.curves["reward/group_std_mean"]
        smooth = [sum(spread[max(0, i - 9) : i + 1]) / (i + 1 - max(0, i - 9)) for i in range(len(spread))]
        right.plot(range(1, len(smooth) + 1), smooth, color=colours[r.guard], linewidth=width)
    left.set(xlabel="round", ylabel="held-out HP-Score", title="128 held-out cases; one line a seed")
    right.set(xlabel="round", ylabel="reward spread inside groups", title="mean of the last ten rounds")
    left.legend(fontsize=8)
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(plot)


if __name__ == "__main__":
    auto_cli([run, report], as_positional=True)
