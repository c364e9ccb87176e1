"""How hard a case is, from the scores of its candidates: dropped as solved or hopeless, or drawn less often. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Literal

from hpedit.cases import ScoreRecord

By = Literal["argmax", "expectation", "p5"]
Over = Literal["best", "mean", "worst"]
Verdict = Literal["kept", "solved", "hopeless", "alike", "unscored"]
_TOP = 5.0


@dataclass(frozen=True)
class Rule:
    """Which cases training has use for. The default is the paper's: a case that scores 5 is dropped.

    Attributes:
        by: a candidate's figure: the likeliest digit ("argmax"; of a bare score the nearest), the score itself
            ("expectation"), or the probability of a 5 ("p5", in [0, 1]).
        over: the case's figure: that of its best candidate, of its worst, or the mean over all.
        solved: drop cases whose figure is at least this; null drops none. An expectation seldom reaches 5.
        hopeless: drop cases whose best score is less than this; null drops none.
        min_spread: drop cases whose best and worst scores differ by less than this: there is nothing to compare.
    """

    by: By = "argmax"
    over: Over = "mean"
    solved: float | None = 5.0
    hopeless: float | None = None
    min_spread: float = 0.0

    def __post_init__(self) -> None:
        top = 1.0 if self.by == "p5" else _TOP
        if self.solved is not None and not 0.0 < self.solved <= top:
            raise ValueError(
                f"filter.rule.solved: expected a value in (0, {top:g}] by {self.by}, got {self.solved}"
            )
        if self.hopeless is not None and not 0.0 <= self.hopeless <= _TOP:
            raise ValueError(f"filter.rule.hopeless: expected a score in [0, 5], got {self.hopeless}")
        if not 0.0 <= self.min_spread <= _TOP:
            raise ValueError(
                f"filter.rule.min_spread: expected a difference in [0, 5], got {self.min_spread}"
            )

    def judge(self, candidates: Sequence[ScoreRecord]) -> Verdict:
        """Say of a case, by the scores of its candidates that could be had, whether it stays, or why not.

        Raises ValueError where the rule goes by P(5) and the scorer gave no probabilities.
        """
        values = [value_of(c) for c in candidates]
        if not values:
            return "unscored"
        if self.solved is not None and self._figure(candidates) >= self.solved:
            return "solved"
        if self.hopeless is not None and max(values) < self.hopeless:
            return "hopeless"
        return "alike" if max(values) - min(values) < self.min_spread else "kept"

    def _figure(self, candidates: Sequence[ScoreRecord]) -> float:
        fold = {"best": max, "mean": fmean, "worst": min}[self.over]
        return fold([figure(c, self.by) for c in candidates])


def figure(score: ScoreRecord, by: By) -> float:
    """Return a candidate's figure; see Rule. Raises ValueError for "p5" of a score without probabilities."""
    if by == "expectation":
        return value_of(score)
    if by == "p5":
        if not score.dist:
            raise ValueError(
                f"filter.rule.by: p5 wants probabilities of the digits, but {score.scorer} gave a bare score "
                f"({score.cand_id}: {score.value})"
            )
        return score.dist[-1]
    if score.dist:
        return float(max(range(len(score.dist)), key=score.dist.__getitem__))
    return float(int(value_of(score) + 0.5))


def value_of(score: ScoreRecord) -> float:
    assert score.value is not None, "missing scores are set aside before"
    return score.value


@dataclass(frozen=True)
class Difficulty:
    """How often a case is drawn, by how much it has to teach:

        weight = least + (1 - least) ((1 - by_spread) 4 m (1 - m) + by_spread s)

    m is the mean score over 5: the first term is 1 half-way between hopeless and solved, and 0 at both ends. s is the
    standard deviation over 2.5, its greatest value: what ranks the candidates of a group. Both lie in [0, 1]. The
    weights of a data set are brought to a mean of 1 afterwards.

    Attributes:
        least: weight of a case with nothing to teach, relative to that of the best, in [0, 1].
        by_spread: share of the spread in the weight, in [0, 1]; a case with one candidate has none.
    """

    least: float = 0.1
    by_spread: float = 0.5

    def __post_init__(self) -> None:
        if not (0.0 < self.least <= 1.0 and 0.0 <= self.by_spread <= 1.0):
            raise ValueError(
                "filter.difficulty: expected least in (0, 1] and by_spread in [0, 1], "
                f"got {self.least} and {self.by_spread}"
            )

    def weight(self, values: Sequence[float]) -> float:
        """Return the weight in [least, 1] of a case whose candidates have these scores, at least one."""
        mean, spread = fmean(values) / _TOP, pstdev(values) / (_TOP / 2)
        worth = (1 - self.by_spread) * 4 * mean * (1 - mean) + self.by_spread * spread
        return self.least + (1 - self.least) * worth


def levelled(weights: Sequence[float]) -> list[float]:
    """Bring weights to a mean of 1."""
    mean = fmean(weights) if weights else 1.0
    return [weight / mean for weight in weights]
