"""When too many scores are missing for the rest to mean anything."""

from __future__ import annotations

from lightning.pytorch.utilities import rank_zero_warn

from hpedit.scorers.pool import Scored


class ScoringFailed(RuntimeError):
    """Too many scores could not be had for the rest to mean anything."""


def expect_enough(scored: Scored, failed_share: float, max_failed_share: float, when: str) -> None:
    """Raise ScoringFailed, on all ranks alike, if too many scores are missing; warn if some are.

    Args:
        scored: this rank's scores, for the reasons.
        failed_share: of all ranks' scores.
        max_failed_share: the largest share that is put up with.
        when: what the scores are of, such as "round 3".
    """
    if not failed_share:
        return
    reasons = scored.failures().most_common(1)
    words = f"most often ({reasons[0][1]} times here): {reasons[0][0]}" if reasons else "on another rank"
    report = f"{failed_share:.0%} of the scores of {when} could not be had, {words}"
    if failed_share > max_failed_share:
        raise ScoringFailed(f"{report} (reward.max_failed_share is {max_failed_share:.0%})")
    rank_zero_warn(report)
