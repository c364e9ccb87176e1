"""How many cases to take of each task and category: shares as asked, categories as even as they can be. Pure."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]


def quotas(shares: Mapping[str, float], total: int) -> dict[str, int]:
    """Split ``total`` by shares (weights that need not sum to 1) into whole numbers that sum to it.

    Each is less than one away from its exact share (largest remainders; ties go to the earlier name).
    """
    whole = sum(shares.values())
    exact = {name: total * share / whole for name, share in shares.items()}
    given = {name: math.floor(value) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: given[name] - exact[name])
    for name in by_remainder[: total - sum(given.values())]:
        given[name] += 1
    return given


def largest_total(shares: Mapping[str, float], supply: Mapping[str, int]) -> int:
    """Return a total whose quotas the supply of every task can meet; more than one larger, some quota cannot be met."""
    whole = sum(shares.values())
    total = min(math.floor(supply.get(name, 0) * whole / share) for name, share in shares.items() if share)
    # Rounding of the division above may be one too generous.
    return total if all(q <= supply.get(n, 0) for n, q in quotas(shares, total).items()) else total - 1


def level(supply: Counts, wanted: Sequence[int]) -> Counts:
    """Choose ``wanted[t]`` cases of each task t so that the totals of the categories are as even as they can be.

    No other choice has more even totals: theirs have the least sum of squares, so the highest is as low and the lowest
    as high as possible. It is a flow from tasks to categories with a convex cost: filled task by task, then improved
    along exchanges between tasks until there is none left (near linear in the cases; exchanges are few).

    Args:
        supply: (T, K) cases that there are of each task and category.
        wanted: (T,) cases to choose of each task, at most the sum of its row.

    Returns (T, K) counts, at most ``supply``, whose rows sum to ``wanted``. Of even choices, earlier columns get more.
    """
    take = np.zeros_like(supply)
    for task, count in enumerate(wanted):
        _fill(take, supply, task, count)
    while _exchange(take, supply):
        pass
    return take


def evenness(counts: Sequence[int]) -> float:
    """Return the entropy of a distribution over its greatest possible, in [0, 1]; 1 is uniform (one category is)."""
    total = sum(counts)
    entropy = -sum(n / total * math.log(n / total) for n in counts if n)
    return entropy / math.log(len(counts)) if len(counts) > 1 else 1.0


def _fill(take: Counts, supply: Counts, task: int, count: int) -> None:
    """Take ``count`` cases of a task, each of the category that has the fewest so far."""
    totals = take.sum(axis=0)
    lowest = [(int(totals[c]), int(c)) for c in np.flatnonzero(supply[task])]
    heapq.heapify(lowest)
    for _ in range(count):
        height, category = heapq.heappop(lowest)
        take[task, category] += 1
        if take[task, category] < supply[task, category]:
            heapq.heappush(lowest, (height + 1, category))


def _exchange(take: Counts, supply: Counts) -> bool:
    """Move cases from a category to one that has at least two fewer, through any number of tasks; say if any could."""
    totals = take.sum(axis=0)
    # From category c to d a case can go within a task that has taken one of c and has one of d left.
    passable = (take > 0).astype(np.int64).T @ (supply > take) > 0
    for start in np.argsort(-totals, kind="stable"):
        came_from = _reachable(passable, int(start))
        end = min(came_from, key=lambda c: (totals[c], c))
        if totals[start] - totals[end] >= 2:
            _move(take, supply, _path(came_from, end), int(totals[start] - totals[end]) // 2)
            return True
    return False


def _reachable(passable: NDArray[np.bool_], start: int) -> dict[int, int]:
    """Return, for each category that can be reached, the one before it on a shortest path."""
    came_from, edge = {start: start}, [start]
    while edge:
        found = [(d, c) for c in edge for d in map(int, np.flatnonzero(passable[c])) if d not in came_from]
        fresh = dict(reversed(found))
        came_from |= fresh
        edge = list(fresh)
    return came_from


def _path(came_from: Mapping[int, int], end: int) -> list[int]:
    path = [end]
    while came_from[path[-1]] != path[-1]:
        path.append(came_from[path[-1]])
    return path[::-1]


def _move(take: Counts, supply: Counts, path: Sequence[int], most: int) -> None:
    """Move up to ``most`` cases along a path. It is a shortest one, so that no two of its edges share a task."""
    moves = []
    for c, d in itertools.pairwise(path):
        room = np.minimum(take[:, c], supply[:, d] - take[:, d])
        task = int(room.argmax())
        moves.append((task, c, d))
        most = min(most, int(room[task]))
    for task, c, d in moves:
        take[task, c] -= most
        take[task, d] += most
