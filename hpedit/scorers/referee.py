"""A second judge that training never sees: a reward that rises while this one stands still is being gamed."""

from __future__ import annotations

import math

import torch
from lightning.pytorch.utilities import rank_zero_warn

from hpedit.scorers.base import Scorer
from hpedit.scorers.metric import task_means
from hpedit.scorers.pool import Scored, ScoringPool, Ticket, WeightedScorer
from hpedit.types import EditedBatch


class Referee:
    """Scores the edits of an evaluation beside the reward's scorer, and says how far the two are apart.

    Its missing scores are counted and warned of, and never stop a run: it only watches.

    Args:
        scorer: the second judge.
        batch_size: edits in one call.
        max_in_flight: calls under way at once.

    Attributes:
        first_gap: the hacking gap of the first evaluation that counted, None before it.
    """

    def __init__(self, scorer: Scorer, batch_size: int, max_in_flight: int) -> None:
        self.scorer = scorer
        self.first_gap: float | None = None
        self._batch_size = batch_size
        self._max_in_flight = max_in_flight
        self._pool: ScoringPool | None = None
        self._tickets: list[Ticket] = []

    def open(self) -> None:
        """Ask the scorer whether it works. Raises its ConnectionError or ValueError where it does not."""
        self.scorer.check()
        member = WeightedScorer("referee", self.scorer)
        self._pool = ScoringPool([member], self._batch_size, self._max_in_flight, unchanged_tolerance=0.0)

    def start(self) -> None:
        """Begin an evaluation."""
        self._tickets = []

    def submit(self, edited: EditedBatch) -> None:
        """Hand in edits, in the order in which the reward's scorer gets them; returns at once."""
        self._tickets.append(self._opened().submit(edited))

    def figures(
        self, rewarded: Scored, timeout: float, device: torch.device | str, keeps: bool
    ) -> dict[str, float]:
        """Return what to log of an evaluation, the same on every rank.

        "referee/hp_score" with its tasks and "referee/failed_share"; "hacking_gap", the macro mean of the reward's
        score minus the referee's over the edits that both scored; and "hacking_gap_change" since ``first_gap``.

        Args:
            rewarded: what the reward's scorer says of the same edits.
            timeout: seconds to wait for outstanding scores.
            device: where the ranks' sums are added up.
            keeps: whether this evaluation is one of the series that starts with ``first_gap``.
        """
        judged = self._opened().collect(self._tickets, timeout)
        means = {name: mean.item() for name, mean in task_means(judged.task, judged.value, device).items()}
        overall, failed_share = means.pop("overall"), means.pop("failed_share")
        apart = [mine - its for mine, its in zip(rewarded.value, judged.value, strict=True)]
        gap = task_means(judged.task, apart, device)["overall"].item()
        figures = {"referee/hp_score": overall, "referee/failed_share": failed_share, "hacking_gap": gap}
        figures |= {f"referee/hp_score/{task}": mean for task, mean in means.items()}
        if keeps and not math.isnan(gap):
            self.first_gap = gap if self.first_gap is None else self.first_gap
            figures["hacking_gap_change"] = gap - self.first_gap
        if failed_share:
            reasons = [reason for reason, _ in judged.failures().most_common(1)] or ["on another rank"]
            rank_zero_warn(f"{failed_share:.0%} of the referee's scores could not be had: {reasons[0]}")
        return figures

    def close(self) -> None:
        if self._pool is not None:
            self._pool.close()

    def _opened(self) -> ScoringPool:
        assert self._pool is not None, "open comes first"
        return self._pool
