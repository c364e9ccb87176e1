"""In which order a rater meets the edits: a pure function of the rater's name and a seed.

All draws are keyed by what they are about, so that an order survives a restart, and a data set that grew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Literal

from hpedit.cases import Case

Mode = Literal["score", "vote"]
Kind = Literal["first", "repeat", "sanity"]

# Stands for the unchanged source where an edit is shown.
SOURCE = ""
# So many other items lie between an item and its repeat, or half of all where there are fewer.
REPEAT_GAP = 20
# A larger share of repeats would leave too few items that are far enough from the end to be repeated.
_MOST_REPEATS = 0.5


@dataclass(frozen=True)
class Slot:
    """One thing that a rater is asked.

    Attributes:
        kind: "first", a hidden "repeat" of a first one, or a "sanity" item whose right answer is known.
        case_id: the case.
        shown: ids of the candidates from left to right: one to be scored, or two to be voted on.
    """

    kind: Kind
    case_id: str
    shown: tuple[str, ...]

    @cached_property
    def key(self) -> str:
        """What tells a rater's slots apart, whichever side is left."""
        return digest(self.kind, self.case_id, *sorted(self.shown))


@dataclass(frozen=True)
class Plan:
    """How items are drawn.

    Attributes:
        seed: changes every order.
        repeats: share of the items that come back once, in [0, 0.5].
        sanity: share of items added whose right answer is known, in [0, 1].
        pairs: most pairs of edits of a case that are voted on; 0 takes all.
    """

    seed: int = 0
    repeats: float = 0.1
    sanity: float = 0.05
    pairs: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.repeats <= _MOST_REPEATS:
            raise ValueError(f"repeats: wanted a share in [0, {_MOST_REPEATS}], got {self.repeats}")
        if not 0 <= self.sanity <= 1:
            raise ValueError(f"sanity: wanted a share in [0, 1], got {self.sanity}")
        if self.pairs < 0:
            raise ValueError(f"pairs: wanted 0 (all) or a number of pairs, got {self.pairs}")


def questions(cases: Sequence[Case], mode: Mode, plan: Plan) -> list[Slot]:
    """Return what there is to ask: every candidate, or pairs of candidates of a case. The same for all raters."""
    if mode == "score":
        return [Slot("first", c.case_id, (k.cand_id,)) for c in cases for k in c.candidates]
    return [slot for case in cases for slot in _pairs(case, plan)]


def checks(cases: Sequence[Case], mode: Mode) -> list[Slot]:
    """Return the items whose answer is known: an edit that is its source, or two edits that are one."""
    if mode == "score":
        return [Slot("sanity", c.case_id, (SOURCE,)) for c in cases if c.candidates]
    return [Slot("sanity", c.case_id, (c.candidates[0].cand_id,) * 2) for c in cases if c.candidates]


def rater_order(first: Sequence[Slot], sanity: Sequence[Slot], rater: str, plan: Plan) -> list[Slot]:
    """Return a rater's slots in order: the questions shuffled, sides drawn, repeats and sanity items mixed in.

    A repeat comes after its first, REPEAT_GAP items later or more where there are that many, with its sides
    exchanged.
    """
    who = (str(plan.seed), rater)
    shuffled = [_sided(s, who) for s in sorted(first, key=lambda s: digest(*who, "order", s.key))]
    gap = min(REPEAT_GAP, len(shuffled) // 2)
    # Places are numbers between the questions' own 0, 1, 2, ...
    placed = [(float(i), slot) for i, slot in enumerate(shuffled)]
    early = list(enumerate(shuffled[: len(shuffled) - gap]))
    again = sorted(early, key=lambda item: digest(*who, "repeat", item[1].key))
    for i, slot in again[: round(plan.repeats * len(shuffled))]:
        room = len(shuffled) - i - gap
        place = i + gap + room * _uniform(*who, "place", slot.key)
        placed.append((place, Slot("repeat", slot.case_id, slot.shown[::-1])))
    for slot in sorted(sanity, key=lambda s: digest(*who, "sanity", s.key))[: _share(plan.sanity, shuffled)]:
        placed.append((len(shuffled) * _uniform(*who, "place", slot.key), slot))
    return [slot for _, slot in sorted(placed, key=lambda item: (item[0], item[1].key))]


def digest(*words: str) -> str:
    """Return 32 hexadecimal digits that tell lists of words apart."""
    # A length before each word: ("ab", "c") is not ("a", "bc").
    joined = b"".join(len(raw).to_bytes(4, "big") + raw for raw in (w.encode() for w in words))
    return hashlib.blake2b(joined, digest_size=16).hexdigest()


def _pairs(case: Case, plan: Plan) -> list[Slot]:
    ids = sorted(c.cand_id for c in case.candidates)
    every = [Slot("first", case.case_id, pair) for pair in combinations(ids, 2)]
    # Drawn by the seed alone: raters who vote on the same pairs can be compared.
    drawn = sorted(every, key=lambda slot: digest(str(plan.seed), "pairs", slot.key))
    return drawn[: plan.pairs or None]


def _sided(slot: Slot, who: tuple[str, ...]) -> Slot:
    swap = _uniform(*who, "side", slot.key) < 0.5
    return Slot(slot.kind, slot.case_id, slot.shown[::-1]) if swap else slot


def _share(share: float, of: Sequence[Slot]) -> int:
    """Return how many items a share is; a small data set has one rather than none."""
    return max(1, round(share * len(of))) if share and of else 0


def _uniform(*words: str) -> float:
    """Return a number in [0, 1) that the words determine."""
    return int(digest(*words)[:13], 16) / 16**13
