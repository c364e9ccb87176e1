"""Who scores, and what a score of theirs is filed under."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from hpedit.cases import ScoreRecord
from hpedit.scorers.base import Score, Scorer
from hpedit.scorers.cache import CachedScorer
from hpedit.scorers.hp_scorer import HPScorer
from hpedit.scorers.pool import WeightedScorer, expect_usable
from hpedit.scorers.prompts import BASE, fingerprint


@dataclass
class Judges:
    """Scorers, by the names that train.py's --reward has for them, so that configs/scorer/*.yaml serve both.

    Args:
        scorers: one scorer by class path, or a list of scorers with names and weights.
        batch_size: edits in one call of a scorer.
        max_in_flight: calls under way at once.
        max_failed_share: scoring stops when more than this share of the answers are failures, in [0, 1].
        referee: one more scorer, filed as "referee" and of weight 0.
    """

    scorers: Scorer | list[WeightedScorer] | None = None
    batch_size: int = 16
    max_in_flight: int = 8
    max_failed_share: float = 0.2
    referee: Scorer | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.max_failed_share <= 1.0:
            raise ValueError(
                f"--reward.max_failed_share: expected a share in [0, 1], got {self.max_failed_share}"
            )
        if self.batch_size < 1 or self.max_in_flight < 1:
            raise ValueError(
                "--reward.batch_size and --reward.max_in_flight: expected at least 1, "
                f"got {self.batch_size} and {self.max_in_flight}"
            )

    def members(self) -> list[WeightedScorer]:
        """Return the scorers with names and weights. Raises ValueError where there is none."""
        if self.scorers is None:
            raise ValueError("--reward.scorers: wanted a scorer, such as --config scorer/vllm.yaml; got none")
        given = self.scorers
        members = [*given] if isinstance(given, list) else [WeightedScorer(name_of(given), given)]
        if self.referee is not None:
            members.append(WeightedScorer("referee", self.referee, 0.0))
        expect_usable(members)
        return members


@dataclass(frozen=True)
class Label:
    """What a scorer's scores of one task are filed under.

    Attributes:
        scorer, prompt_version, read: as in ScoreRecord; two of them with equal labels compare.
        fingerprint: all that the score depends on, such as the words of the prompt.
    """

    scorer: str
    prompt_version: str
    read: str
    fingerprint: str

    def record(self, cand_id: str, score: Score, ts: float) -> ScoreRecord:
        """Return the score of a candidate as it is filed, at ``ts`` seconds since the epoch."""
        return ScoreRecord(
            cand_id=cand_id,
            scorer=self.scorer,
            prompt_version=self.prompt_version,
            read=self.read,
            value=None if math.isnan(score.value) else score.value,
            dist=score.probabilities or (),
            mass=score.mass,
            ts=ts,
        )


def name_of(scorer: Scorer) -> str:
    """Return the name of the model that judges, or of the scorer's class where there is none."""
    judge = _behind_cache(scorer)
    model = getattr(judge.backend, "model", None) if isinstance(judge, HPScorer) else None
    return type(judge).__name__ if model is None else Path(str(model)).name


def label_of(member: WeightedScorer, task: str) -> Label:
    """Return what the member's scores of edits of ``task`` are filed under."""
    scorer = _behind_cache(member.scorer)
    if not isinstance(scorer, HPScorer):
        return Label(member.name, "", "expectation", type(scorer).__qualname__)
    prompt = scorer.prompts[task if scorer.task_aware else BASE]
    who = (getattr(scorer.backend, "model", None), type(scorer.backend).__qualname__)
    version = prompt.version if scorer.task_aware else f"{BASE}-{prompt.version}"
    return Label(
        member.name, version, scorer.read, repr((*who, scorer.min_mass, prompt.name, fingerprint(prompt)))
    )


def _behind_cache(scorer: Scorer) -> Scorer:
    return scorer.scorer if isinstance(scorer, CachedScorer) else scorer
