"""Hands out items and takes answers: what the web application does, without the web."""

from __future__ import annotations

import re
import threading
import time
import unicodedata
from collections.abc import Mapping
from typing import Any

from hpedit import __version__
from hpedit.pictures import Picture
from hpedit.rating.deck import Deck, Hand, open_slots
from hpedit.rating.order import Mode
from hpedit.rating.store import BROKEN, SCORES, VOTES, Answer, Ratings

# The item on the screen, and those whose pictures are fetched meanwhile.
_AHEAD = 3
_LONGEST_NAME = 40
_LONGEST_MS = 24 * 3600 * 1000
_SCREEN = re.compile(r"\d{1,5}x\d{1,5}@\d{1,2}(\.\d{1,4})?")


class Desk:
    """Serves raters. Methods may be called from several threads, and raise ValueError on what makes no sense."""

    def __init__(self, deck: Deck, ratings: Ratings) -> None:
        self.deck = deck
        self.ratings = ratings
        self._hands: dict[str, Hand] = {}
        self._pictures: dict[str, Picture] = {}
        self._lock = threading.Lock()

    def state(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """Return where the rater stands: the mode, what is done of how many, and the next items."""
        rater = rater_name(told)
        hand, answered = self._hand(rater), self.ratings.answered(rater, self.deck.mode)
        return {
            "rater": rater,
            "mode": self.deck.mode,
            "done": sum(slot.key in answered for slot in hand.slots),
            "total": len(hand.slots),
            "items": [self.deck.item(rater, slot) for slot in open_slots(hand, answered, _AHEAD)],
        }

    def answer(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """Commit an answer and return the rater's new state. A slot's first answer stands."""
        rater = rater_name(told)
        hand, place = self._hand(rater), self._place(rater, told)
        slot = hand.slots[place]
        left, *right = slot.shown
        answer = Answer(
            rater=rater,
            mode=self.deck.mode,
            kind=slot.kind,
            case_id=slot.case_id,
            left=left,
            right=right[0] if right else None,
            value=_value(told, self.deck.mode),
            ms=_milliseconds(told),
            ts=time.time(),
            place=place,
            screen=_screen(told),
            app=__version__,
            prompt=self.deck.prompt(slot).version,
        )
        self.ratings.add(slot.key, answer)
        return self.state(told)

    def undo(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """Take the rater's last answer back: it is what ``undone`` says, and its item comes again."""
        undone = self.ratings.undo(rater_name(told), self.deck.mode)
        return {"undone": undone, **self.state(told)}

    def picture(self, name: str) -> Picture | None:
        """Return the picture of an item that was handed out since the start; there are no others."""
        return self._pictures.get(name)

    def _place(self, rater: str, told: Mapping[str, Any]) -> int:
        item = told.get("item")
        place = self._hand(rater).places.get(item) if isinstance(item, str) else None
        if place is None:
            raise ValueError("item: not one of this rater's")
        return place

    def _hand(self, rater: str) -> Hand:
        with self._lock:
            if rater not in self._hands:
                self._hands[rater] = self.deck.deal(rater)
                self._pictures |= self._hands[rater].pictures
            return self._hands[rater]


def rater_name(told: Mapping[str, Any]) -> str:
    """Return the rater's name as it is kept: case and spaces do not make another person.

    Raises ValueError on one that is empty, too long or not text.
    """
    name = told.get("rater")
    kept = " ".join(unicodedata.normalize("NFKC", name).casefold().split()) if isinstance(name, str) else ""
    if not kept or len(kept) > _LONGEST_NAME or not kept.isprintable():
        raise ValueError(f"rater: wanted a name of 1 to {_LONGEST_NAME} characters")
    return kept


def _value(told: Mapping[str, Any], mode: Mode) -> str:
    value, wanted = told.get("value"), (*(SCORES if mode == "score" else VOTES), BROKEN)
    if value not in wanted:
        raise ValueError(f"value: wanted one of {', '.join(wanted)}")
    return value


def _milliseconds(told: Mapping[str, Any]) -> int:
    ms = told.get("ms")
    if type(ms) is not int or ms < 0:
        raise ValueError("ms: wanted a whole number of milliseconds, 0 or more")
    # A page left open overnight is an answer of unknown time, not an error.
    return min(ms, _LONGEST_MS)


def _screen(told: Mapping[str, Any]) -> str:
    screen = told.get("screen")
    if not isinstance(screen, str) or not _SCREEN.fullmatch(screen):
        raise ValueError('screen: wanted a size such as "1280x800@2"')
    return screen
