"""Looking at every record once, before a run: what is good, in which bucket, and what is wrong with the rest."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import cache

from lightning.pytorch.utilities import rank_zero_info, rank_zero_only

from hpedit.cases import Case
from hpedit.framing import Frame
from hpedit.pictures import BadPicture, Picture
from hpedit.records import Cases
from hpedit.tasks import canonical_task

log = logging.getLogger(__name__)
Bucket = tuple[tuple[str, ...], bool]
_SHOWN = 5


@rank_zero_only
def warn(text: str) -> None:
    """Log a warning once for all ranks; Python's own warnings can be filtered away, and data must not go silently."""
    log.warning(text)


class Unsuited(ValueError):
    """A sound record that this training has no use for; the message says why, "kind: details"."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is kept in memory of a good record.

    Attributes:
        row: its number in the data set.
        case_id: its id.
        task: its canonical task.
        bucket: the aspect of each picture, and whether there is a target.
        picture: tells source pictures apart.
        weight: how often it is to be drawn, relative to others.
        score: how well it is solved already, None where that is not known.
        chosen: the candidates that make a pair, (preferred, rejected), where the pair comes from scores.
    """

    row: int
    case_id: str
    task: str
    bucket: Bucket
    picture: Hashable
    weight: float = 1.0
    score: float | None = None
    chosen: tuple[int, int] | None = None


@dataclass
class Screening:
    """A data set's good entries, and by the label of each other record why it was set aside.

    Attributes:
        bad: records that are faulty.
        unsuited: sound records that this training has no use for.
    """

    cases: Cases
    entries: list[Entry] = field(default_factory=list)
    bad: dict[str, str] = field(default_factory=dict)
    unsuited: dict[str, str] = field(default_factory=dict)

    def report(self, max_bad_share: float) -> None:
        """Log what was set aside. Raises ValueError where all was, or more than ``max_bad_share`` is faulty."""
        total = len(self.cases)
        parts = [f"{self.cases.name}: {len(self.entries)} of {total} records are used."]
        parts += [_account("faulty", self.bad)] if self.bad else []
        parts += [_account("not used", self.unsuited)] if self.unsuited else []
        text = " ".join(parts)
        if not self.entries:
            raise ValueError(text)
        if len(self.bad) > max_bad_share * total:
            raise ValueError(f"{text} More are faulty than --data.max_bad_share {max_bad_share:g} allows.")
        (warn if self.bad else rank_zero_info)(text)


def _account(kind: str, reasons: dict[str, str]) -> str:
    """Say in a line how many records there are of each reason, and give a few in full."""
    tally = Counter(reason.partition(":")[0] for reason in reasons.values())
    counts = ", ".join(f"{n} x {reason}" for reason, n in tally.most_common())
    shown = "; ".join(f"{record}: {reason}" for record, reason in list(reasons.items())[:_SHOWN])
    more = "" if len(reasons) <= _SHOWN else f"; and {len(reasons) - _SHOWN} more"
    return f"{len(reasons)} {kind} ({counts}): {shown}{more}."


def screen(cases: Cases, describe: Callable[[Cases, int], Entry]) -> Screening:
    """Describe every record; one that cannot be described is set aside, never fatal.

    ``describe`` raises Unsuited or another ValueError with the reason, "kind: details". A case_id that came before is
    a fault too: the id is the key of a group, and two cases under one key would be ranked against each other.
    """
    result, seen = Screening(cases), set()
    for row in range(len(cases)):
        try:
            entry = describe(cases, row)
            if entry.case_id in seen:
                raise ValueError(f"duplicate case_id: {entry.case_id!r}")
        except Unsuited as reason:
            result.unsuited[cases.label(row)] = str(reason)
        except ValueError as fault:
            result.bad[cases.label(row)] = str(fault)
        else:
            seen.add(entry.case_id)
            result.entries.append(entry)
    return result


def describe_case(case: Case, row: int, frame: Frame, need_target: bool) -> Entry:
    """Return the entry of a good record, after a look at the headers of its pictures.

    Raises Unsuited or another ValueError with the reason.
    """
    task = canonical_task(case.task, "bad task")
    if need_target and case.target is None:
        raise Unsuited("no target: --data.need_target asks for the edited picture of every case")
    aspects = tuple(
        frame.nearest(checked_size(f"reference {i}" if i else "source", picture))
        for i, picture in enumerate((case.source, *case.references))
    )
    if case.target is not None:
        checked_size("target", case.target)
    bucket = _shared(aspects, case.target is not None)
    return Entry(row, case.case_id, task, bucket, case.source.fingerprint(), case.weight)


@cache
def _shared(aspects: tuple[str, ...], has_target: bool) -> Bucket:
    """Return one object for equal buckets, for there is an entry of every record in memory."""
    return aspects, has_target


def checked_size(what: str, picture: Picture) -> tuple[int, int]:
    """Return a picture's (height, width) from its header; a BadPicture then names ``what`` it was to be."""
    try:
        return picture.size()
    except BadPicture as error:
        raise BadPicture(f"{error} ({what})") from error
