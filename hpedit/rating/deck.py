"""What is shown of which case: the items of a rater, under ids that tell nothing."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hpedit.cases import Case
from hpedit.pictures import Picture
from hpedit.rating.order import SOURCE, Mode, Plan, Slot, checks, questions, rater_order
from hpedit.scorers.prompts import ScoringPrompt
from hpedit.tasks import canonical_task

# The scores whose meaning is always on the page: where the paper's raters were given anchors.
ANCHORS = (0, 3, 5)


@dataclass
class Hand:
    """One rater's items.

    Attributes:
        slots: in order.
        places: of the slots, by the ids that the browser knows.
        pictures: by the ids that the browser knows.
    """

    slots: list[Slot]
    places: dict[str, int]
    pictures: dict[str, Picture]


@dataclass
class Deck:
    """All cases to be rated.

    Attributes:
        cases: by id.
        mode: whether edits are scored one by one, or pairs voted on.
        plan: how items are drawn.
        prompts: by task; their scale and checks are what raters are told.
        secret: keys the ids that the browser sees.
    """

    cases: Mapping[str, Case]
    mode: Mode
    plan: Plan
    prompts: Mapping[str, ScoringPrompt]
    secret: str
    _first: list[Slot] = field(init=False)
    _sanity: list[Slot] = field(init=False)

    def __post_init__(self) -> None:
        cases = list(self.cases.values())
        self._first, self._sanity = questions(cases, self.mode, self.plan), checks(cases, self.mode)
        if not self._first:
            wanted = "candidates" if self.mode == "score" else "two candidates of a case"
            raise ValueError(f"data: wanted {wanted} to rate, found none in {len(cases)} cases")

    def __len__(self) -> int:
        return len(self._first)

    def deal(self, rater: str) -> Hand:
        """Return the items of a rater."""
        slots = rater_order(self._first, self._sanity, rater, self.plan)
        ids = [self._id(rater, slot, "item") for slot in slots]
        pictures = {}
        for slot in slots:
            pictures |= self._pictures(rater, slot)
        return Hand(slots, {name: i for i, name in enumerate(ids)}, pictures)

    def item(self, rater: str, slot: Slot) -> dict[str, Any]:
        """Return what the browser is told of a slot: no name of a model, a candidate or a case."""
        case, prompt = self.cases[slot.case_id], self.prompt(slot)
        sources = range(1 + len(case.references))
        return {
            "id": self._id(rater, slot, "item"),
            "task": prompt.name.replace("_", " "),
            "instruction": case.instruction,
            "language": case.instruction_lang,
            "requirement": case.requirement or "",
            "sources": [self._id(rater, slot, f"source {i}") for i in sources],
            "edits": [self._id(rater, slot, f"edit {i}") for i in range(len(slot.shown))],
            "checks": prompt.checks,
            "limits": prompt.caps,
            "anchors": {str(score): prompt.scale[score] for score in ANCHORS},
        }

    def prompt(self, slot: Slot) -> ScoringPrompt:
        """Return the prompt whose scale and checks are shown beside a slot."""
        return self.prompts[canonical_task(self.cases[slot.case_id].task)]

    def _pictures(self, rater: str, slot: Slot) -> dict[str, Picture]:
        case = self.cases[slot.case_id]
        images = {c.cand_id: c.image for c in case.candidates} | {SOURCE: case.source}
        shown = {f"edit {i}": images[cand] for i, cand in enumerate(slot.shown)}
        sources = {f"source {i}": p for i, p in enumerate((case.source, *case.references))}
        return {self._id(rater, slot, role): picture for role, picture in (shown | sources).items()}

    def _id(self, rater: str, slot: Slot, role: str) -> str:
        # An id of its own in every slot: neither a repeat nor an unchanged source can be told by its address.
        words = "\0".join((rater, self.mode, slot.key, role))
        return hmac.new(bytes.fromhex(self.secret), words.encode(), hashlib.sha256).hexdigest()[:32]


def open_slots(hand: Hand, answered: Collection[str], most: int) -> list[Slot]:
    """Return a rater's next slots that have no answer, ``most`` at the most."""
    found: list[Slot] = []
    for slot in hand.slots:
        if len(found) == most:
            break
        if slot.key not in answered:
            found.append(slot)
    return found


def cases_by_id(cases: Iterable[Case]) -> dict[str, Case]:
    """Return the cases by their ids.

    Raises ValueError that names the case where two have one id, or two candidates of a case do.
    """
    known: dict[str, Case] = {}
    for case in cases:
        ids = [c.cand_id for c in case.candidates]
        if case.case_id in known:
            raise ValueError(f"data: wanted cases with ids of their own, found two of {case.case_id!r}")
        if len(set(ids)) < len(ids) or SOURCE in ids:
            raise ValueError(f"data: case {case.case_id}: wanted candidates with ids of their own, got {ids}")
        known[case.case_id] = case
    return known
