"""Which cases are kept, held out, or drawn more often. Pure."""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Literal

import numpy as np

from hpedit.cases import Case
from hpedit.tasks import canonical_task

ScoreRule = Literal["mean", "best"]


def candidate_scores(case: Case) -> dict[str, float]:
    """Return the mean stored score of each candidate that has one; scores that could not be had do not count."""
    values: dict[str, list[float]] = defaultdict(list)
    for score in case.scores:
        if score.value is not None and math.isfinite(score.value):
            values[score.cand_id].append(score.value)
    return {candidate: fmean(v) for candidate, v in values.items()}


def case_score(case: Case, rule: ScoreRule) -> float | None:
    """Return how well the case is solved already: the mean or the best of its candidates; None without scores."""
    scores = candidate_scores(case).values()
    if not scores:
        return None
    return fmean(scores) if rule == "mean" else max(scores)


def kept_share(tasks: Sequence[str], kept: Sequence[bool]) -> dict[str, tuple[int, int]]:
    """Return for each task, in alphabetical order, how many cases were kept and how many there were."""
    total, stayed = Counter(tasks), Counter(t for t, k in zip(tasks, kept, strict=True) if k)
    return {task: (stayed[task], total[task]) for task in sorted(total)}


def hold_out(
    tasks: Sequence[str], pictures: Sequence[int] | np.ndarray, count: int, seed: int
) -> tuple[list[int], list[int]]:
    """Split cases into (training, held out) such that no picture is in both.

    Whole pictures are taken, in seeded order, always one with a case of the task that has fewest so far, until
    there are ``count`` held-out cases. Cases of those pictures beyond ``count`` are in neither list.
    Returns rows in ascending order. Raises ValueError where nothing would be left to train on.
    """
    names, which = np.unique(np.asarray(pictures), return_inverse=True)
    order = list(range(len(tasks)))
    random.Random(seed).shuffle(order)
    waiting = {task: [i for i in order if tasks[i] == task][::-1] for task in sorted(set(tasks))}
    taken = np.zeros(len(names), dtype=bool)
    held: list[int] = []
    tally = Counter(dict.fromkeys(waiting, 0))
    while len(held) < count and any(waiting.values()):
        task = min((t for t in waiting if waiting[t]), key=lambda t: tally[t])
        picture = which[waiting[task].pop()]
        if not taken[picture]:
            taken[picture] = True
            cases = np.flatnonzero(which == picture).tolist()
            held += cases
            tally.update(tasks[i] for i in cases)
    train = np.flatnonzero(~taken[which]).tolist()
    if not train or len(held) < count:
        raise ValueError(
            f"--data.val_cases {count}: {len(tasks)} cases of {len(names)} pictures leave nothing to train on"
        )
    return train, sorted(_evenly(held, tasks, count))


def _evenly(rows: list[int], tasks: Sequence[str], count: int) -> list[int]:
    """Keep ``count`` rows, dropping from the task that has most."""
    rows = list(rows)
    while len(rows) > count:
        tally = Counter(tasks[i] for i in rows)
        most = max(sorted(tally), key=lambda t: tally[t])
        rows.remove(next(i for i in reversed(rows) if tasks[i] == most))
    return rows


def draw_rates(
    tasks: Sequence[str], weights: Sequence[float] | np.ndarray, balance: bool | Mapping[str, float]
) -> np.ndarray | None:
    """Return how often a pass draws each case, in proportion to its weight inside its task; None where all count once.

    ``balance``: False gives a task the share that its weights come to, True gives every task the same share, and a
    mapping gives each its own, up to a common factor. The rates sum to the number of cases.
    Raises ValueError that names a task without, or with a bad, share, and where nothing would be drawn.
    """
    weight = np.asarray(weights, dtype=float)
    if not balance and weight.min() == weight.max() > 0:
        return None
    names = sorted(set(tasks))
    which = np.fromiter(map(names.index, tasks), np.uint8, len(tasks))
    mass = np.bincount(which, weight)
    if not mass.any():
        raise ValueError("--data.weighted: every case of this data set has weight 0, so none would be drawn")
    shares = np.array(_shares(balance, names)) if balance else mass
    whole = shares[mass > 0].sum()
    if whole <= 0:
        raise ValueError("--data.task_balance: the tasks of this data set have no share at all")
    # A task without mass has no case to draw: its cases all have weight 0.
    rate = len(weight) * shares / whole / np.where(mass > 0, mass, 1.0)
    return rate[which] * weight


def _shares(balance: bool | Mapping[str, float], tasks: Sequence[str]) -> list[float]:
    """Return the share of each task."""
    if isinstance(balance, bool):
        return [1.0] * len(tasks)
    shares = {canonical_task(task, "--data.task_balance"): float(share) for task, share in balance.items()}
    for task in tasks:
        if not 0 <= shares.get(task, -1.0) < math.inf:
            raise ValueError(
                f"--data.task_balance: expected a share >= 0 for {task!r}, got {shares.get(task)}"
            )
    return [shares[task] for task in tasks]
