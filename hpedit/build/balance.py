"""Stage: of all cases a selection with the asked shares of tasks and near-uniform categories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pyarrow as pa

from hpedit.build.balance_report import balance_notes
from hpedit.build.levelling import level, quotas
from hpedit.build.stage import Kept
from hpedit.noise import key_number
from hpedit.tasks import TASKS

# Cases of each task in RealPref-50K (paper, Table S6): 55,795 in all.
REALPREF_50K: dict[str, float] = {
    "object_addition": 7903,
    "object_removal": 7732,
    "object_swapping": 8243,
    "background_replacement": 6506,
    "color_change": 6949,
    "bokeh": 6813,
    "relighting": 5109,
    "style_transfer": 6540,
}
UNNAMED = "(none)"


@dataclass(frozen=True)
class Balance:
    """Selects cases so that tasks have the asked shares and categories come out as even as they can.

    A task of which there are too few cases keeps them all and is reported as short; the others get no more for it.
    A case counts for the first of its categories. Which cases of a task and category stay is drawn by their ids, so
    that the order in which they come changes nothing.

    Attributes:
        shares: weight of each task; a task that is not named is left out. RealPref-50K's by default (paper, Table S6).
        size: cases wanted in all; null asks for as many as there are, and so trims only the tasks that have too many.
            The report says which size meets all shares.
        seed: of the draw.
        chunk_rows: cases in a chunk.
    """

    shares: Mapping[str, float] = field(default_factory=lambda: dict(REALPREF_50K))
    size: int | None = None
    seed: int = 0
    chunk_rows: int = 256
    name: ClassVar[str] = "balance"
    version: ClassVar[int] = 1
    columns: ClassVar[tuple[str, ...]] = ("task", "categories")

    def __post_init__(self) -> None:
        if unknown := set(self.shares) - set(TASKS):
            raise ValueError(f"balance.shares: expected tasks of {', '.join(TASKS)}, got {min(unknown)!r}")
        if not all(share >= 0 for share in self.shares.values()) or not sum(self.shares.values()) > 0:
            raise ValueError(f"balance.shares: expected weights >= 0, not all 0, got {dict(self.shares)}")
        if self.size is not None and self.size < 1:
            raise ValueError(f"balance.size: expected at least 1 case, or null, got {self.size}")

    def keep(self, light: pa.Table) -> Kept:
        ids, tasks = light.column(0).to_pylist(), light.column("task").to_pylist()
        categories = [names[0] if names else UNNAMED for names in light.column("categories").to_pylist()]
        asked = quotas(self.shares, len(ids) if self.size is None else self.size)
        rows = select(ids, tasks, categories, asked, self.seed)
        kept = Counter((tasks[r], categories[r]) for r in rows)
        return Kept(rows, notes=balance_notes(Counter(zip(tasks, categories, strict=True)), kept, asked))


def select(
    ids: Sequence[str], tasks: Sequence[str], categories: Sequence[str], asked: Mapping[str, int], seed: int
) -> list[int]:
    """Return the rows of a selection with at most ``asked`` cases of each task and even categories, in order.

    Which cases these are hangs on ids and seed, not on the order of the rows.
    """
    cells: dict[tuple[str, str], list[tuple[int, str, int]]] = {}
    for row, (case, task, category) in enumerate(zip(ids, tasks, categories, strict=True)):
        cells.setdefault((task, category), []).append((key_number(seed, case), case, row))
    names = sorted({category for _, category in cells}, key=lambda name: (key_number(seed, name), name))
    wanted = sorted(asked)
    supply = np.array([[len(cells.get((t, c), ())) for c in names] for t in wanted], dtype=np.int64)
    supply = supply.reshape(len(wanted), len(names))
    counts = level(supply, [min(asked[t], int(s)) for t, s in zip(wanted, supply.sum(axis=1), strict=True)])
    chosen = (
        sorted(cells.get((task, category), ()))[: counts[i, k]]
        for i, task in enumerate(wanted)
        for k, category in enumerate(names)
    )
    return sorted(row for cell in chosen for _, _, row in cell)
