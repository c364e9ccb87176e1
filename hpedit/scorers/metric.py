"""HP-Score over many edits: per task, and their macro mean."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from hpedit.tasks import TASKS


class HPScore(Metric):
    """Mean HP-Score per task, and overall as the mean of the task means (paper, Table 1: tasks weigh the same).

    ``update`` takes n canonical task names and n scores, NaN for one that could not be had. ``compute`` returns
    scalars by name: one for each task with at least one score, "overall" (NaN without any), and "failed_share" of
    all edits seen (0 when none was). Sums are added up over ranks.
    """

    full_state_update = False
    higher_is_better = True
    total: Tensor
    count: Tensor
    missing: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("total", "count", "missing"):
            self.add_state(name, default=torch.zeros(len(TASKS)), dist_reduce_fx="sum")

    def update(self, tasks: Sequence[str], scores: Tensor) -> None:
        if len(tasks) != len(scores):
            raise ValueError(f"HPScore: expected as many tasks as scores, got {len(tasks)} and {len(scores)}")
        if unknown := sorted(set(tasks) - set(TASKS)):
            raise ValueError(f"HPScore: expected canonical task names, got {', '.join(unknown)}")
        rows = torch.tensor([TASKS.index(task) for task in tasks], dtype=torch.long, device=self.total.device)
        scores = scores.to(self.total)
        failed = scores.isnan()
        self.total.index_add_(0, rows, scores.nan_to_num(nan=0.0))
        self.count.index_add_(0, rows, (~failed).to(self.count))
        self.missing.index_add_(0, rows, failed.to(self.missing))

    def compute(self) -> dict[str, Tensor]:
        seen = self.count > 0
        means = self.total[seen] / self.count[seen]
        names = [task for task, has_score in zip(TASKS, seen.tolist(), strict=True) if has_score]
        every = (self.count.sum() + self.missing.sum()).clamp(min=1)
        return {
            **dict(zip(names, means, strict=True)),
            "overall": means.mean(),
            "failed_share": self.missing.sum() / every,
        }


def task_means(
    tasks: Sequence[str], scores: Sequence[float], device: torch.device | str
) -> dict[str, Tensor]:
    """Return HPScore of these scores, NaN for one that could not be had, and of those of all other ranks."""
    metric = HPScore().to(device)
    metric.update(tasks, torch.tensor(scores))
    return metric.compute()
