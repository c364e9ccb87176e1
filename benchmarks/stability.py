"""Long runs of the quickstart under each guard, and what became of them: docs/stability.md.

python -m benchmarks.stability run runs/stability      # hours on two cores; what is done is not done again
python -m benchmarks.stability report runs/stability   # the table, and docs/stability.png
"""

from __future__ import annotations

from pathlib import Path

from jsonargparse import auto_cli

from benchmarks.quickstarts import REWARD, SPREAD, Quickstart, draw, ends, markdown, read_runs, run_all

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


def run(folder: Path, seeds: tuple[int, ...] = (0, 1, 2), rounds: int = 90, jobs: int = 2) -> None:
    """Run the quickstart under every guard and seed that has not been run yet.

    Args:
        folder: where the runs go, one folder each.
        seeds: seeds of every guard.
        rounds: rounds of every run; the quickstart has 30.
        jobs: runs at once, each on one core.
    """
    updates = rounds * _UPDATES_PER_ROUND
    guards = {name: [word.format(updates=updates) for word in words] for name, words in GUARDS.items()}
    run_all(folder, lambda guard, seed: guards[guard], list(guards), seeds, rounds, jobs)


def report(folder: Path, plot: Path = Path("docs/stability.png")) -> None:
    """Print what became of the runs as a Markdown table, and draw their held-out curves.

    Args:
        folder: where ``run`` wrote them.
        plot: the picture to write.
    """
    runs = read_runs(folder, list(GUARDS))
    head = ["guard", "seed", *map(str, runs[0].rounds), "peak - end", "spread in groups", "reward"]
    print(markdown(head, list(map(_row, runs))))
    draw(runs, plot, bold="batch")


def _row(run: Quickstart) -> list[str]:
    fall = max(run.scores) - run.scores[-1]
    scores = [f"{score:.2f}" for score in run.scores]
    return [
        run.variant,
        str(run.seed),
        *scores,
        f"{fall:.2f}",
        ends(run.curves[SPREAD]),
        ends(run.curves[REWARD]),
    ]


if __name__ == "__main__":
    auto_cli([run, report], as_positional=True)
