"""The contract between a scorer of edits and what asks it: training, evaluation and filtering alike."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from torch import Tensor


@dataclass(frozen=True)
class ScoreRequest:
    """One edit to be scored. Pictures are uint8 (3, H, W) on the CPU, so nothing is lost on the way."""

    case_id: str
    task: str
    instruction: str
    requirement: str
    sources: tuple[Tensor, ...]
    edit: Tensor
    target: Tensor | None = None


@dataclass(frozen=True)
class Score:
    """What a scorer says of one edit.

    Attributes:
        value: HP-Score in [0, 5]; NaN where it could not be had (never 0, never random).
        probabilities: of the digits 0-5, normalised; None where the scorer gives a bare number.
        mass: probability that the answer was one of the six digits at all.
        failure: why value is NaN; None otherwise.
        cached: whether a cache had it; None of a scorer without one. Where a score comes from makes it no other score.
    """

    value: float
    probabilities: tuple[float, ...] | None = None
    mass: float | None = None
    failure: str | None = None
    cached: bool | None = field(default=None, compare=False)

    @property
    def argmax(self) -> int | None:
        if self.probabilities is None:
            return None
        return max(range(len(self.probabilities)), key=self.probabilities.__getitem__)

    @property
    def entropy(self) -> float | None:
        """Entropy of the digit distribution in nats."""
        if self.probabilities is None:
            return None
        return -sum(p * math.log(p) for p in self.probabilities if p > 0)

    @staticmethod
    def missing(failure: str) -> Score:
        return Score(value=math.nan, failure=failure)


@runtime_checkable
class Scorer(Protocol):
    """Scores edits. ``score`` blocks, is called from several threads at once, and never raises for one bad edit."""

    def check(self) -> None:
        """Raise ConnectionError or ValueError, with the server's own words, if scoring cannot work at all."""
        ...

    def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        """Return one Score per request, in order; a failed one is ``Score.missing(reason)``."""
        ...


@runtime_checkable
class Identified(Protocol):
    """A scorer that can tell what its scores hang on besides the request: what a cache of them needs to know."""

    def identity(self, request: ScoreRequest) -> str:
        """Name model, prompt and way of reading, so that equal names and requests mean equal scores."""
        ...


@runtime_checkable
class Sleeper(Protocol):
    """A scorer or backend whose memory can be lent to training between rounds. Both calls may be repeated."""

    def wake(self) -> None:
        """Take the memory back; returns when scoring can go on."""
        ...

    def sleep(self) -> None:
        """Give the memory free; whoever scores next pays for waking up."""
        ...


def wake(judges: Iterable[object]) -> None:
    """Have those among the judges that sleep between rounds take their memory back."""
    for judge in judges:
        if isinstance(judge, Sleeper):
            judge.wake()


def sleep(judges: Iterable[object]) -> None:
    """Lend the memory of such judges to training. A call that comes late wakes its judge by itself."""
    for judge in judges:
        if isinstance(judge, Sleeper):
            judge.sleep()
