"""What an evaluation's scores come to, over all ranks."""

from __future__ import annotations

import torch

from hpedit.scorers.figures import Total
from hpedit.scorers.metric import task_means
from hpedit.scorers.pool import Scored


def evaluation_figures(scored: Scored, total: Total, device: torch.device | str) -> dict[str, float]:
    """Return figures of n scored edits, the same on every rank.

    "hp_score" (macro mean), "hp_score/<task>", "failed_share" and "unchanged_share"; "scorer/<name>", the macro mean of
    each of several scorers; "cache_hit_share" of the scores asked of scorers that have a cache. Of nothing, hp_score is
    NaN, and tasks and cache are left out.

    Args:
        scored: this rank's edits.
        total: sums a float64 vector over the ranks.
        device: where the ranks' sums of scores are added up.
    """
    figures = _macro_means(scored, scored.value, device)
    every = [score for scores in scored.by_scorer.values() for score in scores]
    known = [score.cached for score in every if score.cached is not None]
    counts = [scored.unchanged, len(scored.value), sum(known), len(known)]
    unchanged, edits, hits, asked = total(torch.tensor(counts, dtype=torch.float64)).tolist()
    figures["unchanged_share"] = unchanged / max(edits, 1.0)
    if asked:
        figures["cache_hit_share"] = hits / asked
    if len(scored.by_scorer) > 1:
        for name, scores in scored.by_scorer.items():
            figures[f"scorer/{name}"] = _macro_means(scored, [s.value for s in scores], device)["hp_score"]
    return figures


def _macro_means(scored: Scored, values: list[float], device: torch.device | str) -> dict[str, float]:
    means = {name: mean.item() for name, mean in task_means(scored.task, values, device).items()}
    overall, failed_share = means.pop("overall"), means.pop("failed_share")
    by_task = {f"hp_score/{task}": mean for task, mean in means.items()}
    return {"hp_score": overall, "failed_share": failed_share, **by_task}
