"""How raters agree with each other, with themselves and with what is known: the owner's live figures. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import floor
from statistics import fmean, median, pvariance, stdev
from typing import Any

from hpedit.rating.order import Kind, Mode
from hpedit.rating.store import BROKEN, Answer

# Answers to two pictures that are one: no side may win.
_NO_WINNER = ("tie", "both_bad")


def summary(answers: Sequence[Answer], mode: Mode) -> dict[str, Any]:
    """Return the figures of the agreement page, those that cannot be had yet as None.

    Each rater has: answers, broken (flags), seconds (median time of an answer), repeats and same (share of hidden
    repeats answered as before), sanity and passed (share of sanity items answered rightly). Scores add mean, sd,
    shared (edits that others scored too), mae and kappa (quadratic-weighted) against the mean of the others, and
    repeat_mae. Votes add ties (share without a winner), left (share of the wins that went to the left; 0.5 has no
    bias), shared and agree (share of the others' votes on the same pairs that say the same).
    """
    by_rater: dict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        by_rater[answer.rater].append(answer)
    figures = _of_scores if mode == "score" else _of_votes
    return {
        "mode": mode,
        "raters": [
            {"rater": rater, **_common(mine), **figures(mine, [a for a in answers if a.rater != rater])}
            for rater, mine in sorted(by_rater.items())
        ],
    }


def _common(mine: Sequence[Answer]) -> dict[str, Any]:
    repeats, sanity = _repeats(mine), [a for a in _of(mine, "sanity") if a.value != BROKEN]
    return {
        "answers": len(mine),
        "broken": sum(a.value == BROKEN for a in mine),
        "seconds": median(a.ms for a in mine) / 1000,
        "repeats": len(repeats),
        "same": _mean(_said(a) == _said(b) for a, b in repeats),
        "sanity": len(sanity),
        "passed": _mean(a.value in ("0", *_NO_WINNER) for a in sanity),
    }


def _of_scores(mine: Sequence[Answer], others: Sequence[Answer]) -> dict[str, Any]:
    own = {_about(a): a.score for a in _of(mine, "first") if a.score is not None}
    theirs = _scores_by_edit(others)
    shared = [(score, fmean(theirs[edit])) for edit, score in own.items() if edit in theirs]
    again = [abs(a.score - b.score) for a, b in _repeats(mine) if a.score is not None and b.score is not None]
    return {
        "mean": _mean(own.values()),
        "sd": stdev(own.values()) if len(own) > 1 else None,
        "shared": len(shared),
        "mae": _mean(abs(a - b) for a, b in shared),
        "kappa": _kappa(shared),
        "repeat_mae": _mean(again),
    }


def _of_votes(mine: Sequence[Answer], others: Sequence[Answer]) -> dict[str, Any]:
    own = {_about(a): _said(a) for a in _of(mine, "first") if a.value != BROKEN}
    pairs = [
        _said(a) == own[_about(a)] for a in _of(others, "first") if _about(a) in own and a.value != BROKEN
    ]
    wins = [a.value == "left" for a in mine if a.kind != "sanity" and a.winner is not None]
    return {
        "ties": _mean(said in _NO_WINNER for said in own.values()),
        "left": _mean(wins),
        "shared": len(pairs),
        "agree": _mean(pairs),
    }


def _of(answers: Iterable[Answer], kind: Kind) -> list[Answer]:
    return [a for a in answers if a.kind == kind]


def _about(answer: Answer) -> tuple[str, ...]:
    """Name what was judged, whichever side it was on."""
    return (answer.case_id, *sorted(c for c in (answer.left, answer.right) if c is not None))


def _said(answer: Answer) -> str:
    """Return what was answered, whichever side the winner was on."""
    return answer.winner or answer.value


def _repeats(mine: Sequence[Answer]) -> list[tuple[Answer, Answer]]:
    first = {_about(a): a for a in _of(mine, "first")}
    again = [(first[_about(a)], a) for a in _of(mine, "repeat") if _about(a) in first]
    return [(a, b) for a, b in again if BROKEN not in (a.value, b.value)]


def _scores_by_edit(answers: Iterable[Answer]) -> Mapping[tuple[str, ...], list[float]]:
    scores: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for answer in answers:
        if answer.kind == "first" and answer.score is not None:
            scores[_about(answer)].append(answer.score)
    return scores


def _kappa(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Quadratic-weighted kappa of scores and the others' rounded means; None where neither varies.

    It equals hpedit.calibration.metrics' qwk, whose eleven figures are too much work for a page that is live.
    """
    if not pairs:
        return None
    mine, theirs = ([floor(x + 0.5) for x in side] for side in zip(*pairs, strict=True))
    # Kappa is 1 - observed / chance; with quadratic weights chance is the mean of (a_i - b_j)^2 over all i, j.
    observed = fmean((a - b) ** 2 for a, b in zip(mine, theirs, strict=True))
    chance = pvariance(mine) + pvariance(theirs) + (fmean(mine) - fmean(theirs)) ** 2
    return 1 - observed / chance if chance else None


def _mean(values: Iterable[float]) -> float | None:
    known = list(values)
    return fmean(known) if known else None
