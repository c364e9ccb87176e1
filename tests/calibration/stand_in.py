"""A judge that sees only the faults its prompt asks about, and people who see them all."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from hpedit.calibration.ratings import RatedEdit
from hpedit.scorers.hp_scorer import Answer
from hpedit.scorers.prompts import Message, ScoringPrompt
from tests.support.rated import rated_edit

TASK = "object_removal"
GHOST = "Is there no remnant, outline or ghost of the removed thing?"
SHADOW = "Is image B free of shadows and reflections that nothing casts any more?"
GHOST_BIT, SHADOW_BIT, BLUR_BIT = 1, 2, 4


class FaultBackend:
    """Answers by the faults of the edit, told by its grey, of which it sees those that the rubric asks about."""

    def __init__(self) -> None:
        self.instructions: list[str] = []
        self.failing: tuple[str, ...] = ()

    def check(self) -> None:
        pass

    def identity(self) -> str:
        return "stand-in"

    def answer(self, chats: Sequence[list[Message]], generate: bool) -> list[Answer]:
        return [self._answer(chat) for chat in chats]

    def _answer(self, chat: list[Message]) -> Answer:
        rubric, case = chat[0].parts[0], chat[1].parts
        assert isinstance(rubric, str)
        assert isinstance(case[0], str)
        instruction = case[0].partition("instruction: ")[2].partition("\n")[0].strip('"')
        self.instructions.append(instruction)
        if instruction in self.failing:
            return Answer(failure="503: overloaded")
        edit = next(part for part in reversed(case) if not isinstance(part, str))
        faults = int(edit[0, 0, 0]) - 100
        seen = (GHOST_BIT if GHOST in rubric else 0) | (SHADOW_BIT if SHADOW in rubric else 0) | BLUR_BIT
        return Answer(logprobs=digits(people(faults & seen)))


def people(faults: int) -> float:
    """What people think of an edit with these faults."""
    return 5.0 - 2.0 * bool(faults & GHOST_BIT) - 1.5 * bool(faults & SHADOW_BIT) - bool(faults & BLUR_BIT)


def digits(score: float) -> tuple[float, ...]:
    """Return log-probabilities of the two digits beside ``score`` whose expectation it is."""
    low = min(4, int(score))
    share = score - low
    weights = {low: 1 - share, low + 1: share}
    return tuple(math.log(weights[d]) if weights.get(d) else -math.inf for d in range(6))


def rated(count: int, seed: int = 0, noise: bool = False) -> list[RatedEdit]:
    """``count`` edits with random faults, rated by what they deserve or, with ``noise``, at random."""
    dice = random.Random(seed)
    edits = []
    for i in range(count):
        faults = dice.randrange(8)
        scores = [dice.uniform(0, 5) if noise else people(faults) + dice.uniform(-0.4, 0.4) for _ in range(3)]
        ratings = [min(5.0, max(0.0, score)) for score in scores]
        edits.append(rated_edit(f"case-{i}", *ratings, task=TASK, grey=100 + faults))
    return edits


def plain_prompt(*checks: str) -> ScoringPrompt:
    """A prompt with these checks alone."""
    return ScoringPrompt(
        name=TASK,
        version="1",
        provenance="A test.",
        order="rubric_first",
        preamble="Judge.",
        checks=checks,
        caps=(),
        scale=tuple(f"grade {d}." for d in range(6)),
        answer="One digit.",
    )
