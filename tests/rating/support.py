"""Small cases with telling names, which must not reach a rater."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import cache
from pathlib import Path

from PIL import PngImagePlugin

from hpedit.cases import Candidate, Case
from hpedit.miniature.data import case
from hpedit.miniature.examples import example
from hpedit.pictures import Picture
from hpedit.rating.deck import Deck, cases_by_id
from hpedit.rating.desk import Desk
from hpedit.rating.order import Mode, Plan
from hpedit.rating.store import Ratings
from hpedit.scorers.prompts import ScoringPrompt, load_prompts

MODELS = ("wondermodel-pro", "othermodel-xl", "thirdmodel")


@cache
def rated_case(number: int, candidates: int = 3) -> Case:
    """Case ``number`` of the miniature world with candidates whose ids and pictures' metadata name their models."""
    drawn = example(number)
    plain = case(drawn, drawn.target)
    edits = [
        _named(plain.source if i else plain.target, model) for i, model in enumerate(MODELS[:candidates])
    ]
    named = tuple(Candidate(f"{m}-{number}", e, model=m) for m, e in zip(MODELS, edits, strict=False))
    return replace(plain, case_id=f"{MODELS[0]}/case-{number}", candidates=named)


def _named(picture: Picture | None, model: str) -> Picture:
    """Return the picture with its maker's name in the metadata, as generators write it."""
    assert picture is not None
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Software", model)
    out = io.BytesIO()
    picture.decode().save(out, "PNG", pnginfo=notes)
    return Picture(out.getvalue())


@cache
def prompts() -> dict[str, ScoringPrompt]:
    return load_prompts()


def make_desk(folder: Path, mode: Mode = "score", cases: int = 6, plan: Plan = Plan()) -> Desk:
    """A desk over new cases, whose answers go to ``folder``/r.sqlite."""
    ratings = Ratings(folder / "r.sqlite")
    known = cases_by_id(rated_case(n) for n in range(cases))
    return Desk(Deck(known, mode, plan, prompts(), ratings.secret()), ratings)
