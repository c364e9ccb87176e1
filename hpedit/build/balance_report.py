"""What balancing came to: shares asked and had, categories before and after. As JSON and as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from rich.table import Table

from hpedit.build.levelling import evenness, largest_total


def balance_notes(
    there: Mapping[tuple[str, str], int], kept: Mapping[tuple[str, str], int], asked: Mapping[str, int]
) -> dict[str, Any]:
    """Return the report of a selection as JSON-able data.

    Args:
        there, kept: number of cases by (task, category), before and after.
        asked: number of cases wanted of each task.

    Returns ``asked`` and ``kept`` in all; ``short``: the tasks that have too few cases, and how many are lacking;
    ``size_that_meets_all_shares``; ``tasks`` and ``categories`` by name; ``evenness`` of the categories, before and
    after, in [0, 1], where 1 is uniform over those that there are.
    """
    tasks_there, tasks_kept = _by(there, 0), _by(kept, 0)
    before, after = _by(there, 1), _by(kept, 1)
    whole, wanted = sum(kept.values()), sum(asked.values())
    return {
        "asked": wanted,
        "kept": whole,
        "short": {t: n - tasks_kept[t] for t, n in asked.items() if tasks_kept[t] < n},
        "size_that_meets_all_shares": largest_total(asked, tasks_there),
        "tasks": {
            task: {
                "there": tasks_there[task],
                "asked": asked.get(task, 0),
                "kept": tasks_kept[task],
                "share_asked": _share(asked.get(task, 0), wanted),
                "share_kept": _share(tasks_kept[task], whole),
            }
            for task in sorted({*asked, *tasks_there})
        },
        "categories": {name: {"there": before[name], "kept": after[name]} for name in sorted(before)},
        "evenness": {
            "there": round(evenness(list(before.values())), 4),
            "kept": round(evenness([after[name] for name in before]), 4) if whole else None,
        },
    }


def balance_tables(notes: Mapping[str, Any]) -> list[Table]:
    """Return the report of ``balance_notes`` as two tables: tasks, and categories, those with most cases first."""
    return [_tasks(notes), _categories(notes)]


def _tasks(notes: Mapping[str, Any]) -> Table:
    size = notes["size_that_meets_all_shares"]
    caption = (
        f"all shares can be met with size {size:,}" if size else "some task has too few cases for any size"
    )
    table = _table("balance: tasks", "task", ("there", "asked", "kept", "share asked", "share kept", "short"))
    table.caption = caption if notes["short"] else None
    for name, task in notes["tasks"].items():
        shares = [f"{task[key]:.2%}" for key in ("share_asked", "share_kept")]
        counts = [f"{task[key]:,}" for key in ("there", "asked", "kept")]
        table.add_row(name, *counts, *shares, f"{notes['short'].get(name, 0):,}")
    return table


def _categories(notes: Mapping[str, Any]) -> Table:
    even = notes["evenness"]
    title = f"balance: categories (evenness {even['there']} before, {even['kept']} after)"
    table = _table(title, "category", ("there", "kept"))
    for name, n in sorted(notes["categories"].items(), key=lambda item: (-item[1]["kept"], item[0])):
        table.add_row(name, f"{n['there']:,}", f"{n['kept']:,}")
    return table


def _table(title: str, first: str, numbers: tuple[str, ...]) -> Table:
    table = Table(title=title)
    table.add_column(first)
    for name in numbers:
        table.add_column(name, justify="right")
    return table


def _by(counts: Mapping[tuple[str, str], int], part: int) -> Counter[str]:
    total: Counter[str] = Counter()
    for key, count in counts.items():
        total[key[part]] += count
    return total


def _share(count: int, whole: int) -> float:
    return round(count / whole, 6) if whole else 0.0
