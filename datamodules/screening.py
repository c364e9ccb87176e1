"""Looking at every record once, before a run: what is good, in which bucket, and what is wrong with the rest."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only

from datamodules.entries import Bucket, Entries, Entry, EntryWriter, repeated
from hpedit.cases import Case
from hpedit.framing import Frame
from hpedit.noise import key_number
from hpedit.pictures import BadPicture, Picture
from hpedit.records import Cases
from hpedit.tasks import canonical_task

log = logging.getLogger(__name__)
_SHOWN = 5
_NAMED = 100


@rank_zero_only
def warn(text: str) -> None:
    """Log a warning once for all ranks; Python's own warnings can be filtered away, and data must not go silently."""
    log.warning(text)


class Unsuited(ValueError):
    """A sound record that this training has no use for; the message says why, "kind: details"."""


@dataclass
class SetAside:
    """Records that are not used: all counted by the kind of reason, the first ones named.

    Attributes:
        what: they are called.
        count: how many.
        kinds: how many of each kind of reason.
        named: the reason, by the record's label, of the first hundred.
    """

    what: str
    count: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    named: dict[str, str] = field(default_factory=dict)

    def add(self, cases: Cases, row: int, reason: str) -> None:
        """Count a record; ``reason`` is "kind: details"."""
        self.count += 1
        self.kinds[reason.partition(":")[0]] += 1
        if len(self.named) < _NAMED:
            self.named[cases.label(row)] = reason

    def __str__(self) -> str:
        kinds = ", ".join(f"{n} x {kind}" for kind, n in self.kinds.most_common())
        shown = "; ".join(f"{record}: {reason}" for record, reason in list(self.named.items())[:_SHOWN])
        more = "" if self.count <= _SHOWN else f"; and {self.count - _SHOWN} more"
        return f"{self.count} {self.what} ({kinds}): {shown}{more}."


@dataclass
class Screening:
    """A data set's good entries, and what was set aside.

    Attributes:
        bad: records that are faulty.
        unsuited: sound records that this training has no use for.
    """

    cases: Cases
    entries: Entries
    bad: SetAside
    unsuited: SetAside

    def report(self, max_bad_share: float) -> None:
        """Log what was set aside. Raises ValueError where all was, or more than ``max_bad_share`` is faulty."""
        total = len(self.cases)
        parts = [f"{self.cases.name}: {len(self.entries)} of {total} records are used."]
        text = " ".join([*parts, *(str(aside) for aside in (self.bad, self.unsuited) if aside.count)])
        if not len(self.entries):
            raise ValueError(text)
        if self.bad.count > max_bad_share * total:
            raise ValueError(f"{text} More are faulty than --data.max_bad_share {max_bad_share:g} allows.")
        (warn if self.bad.count else rank_zero_info)(text)


def screen(cases: Cases, describe: Callable[[Cases, int], Entry]) -> Screening:
    """Describe every record; one that cannot be described is set aside, never fatal.

    ``describe`` raises Unsuited or another ValueError with the reason, "kind: details". A case_id that came before is
    a fault too: the id is the key of a group, and two cases under one key would be ranked against each other.
    """
    good, bad, unsuited = EntryWriter(len(cases)), SetAside("faulty"), SetAside("not used")
    for row in range(len(cases)):
        try:
            good.add(describe(cases, row))
        except Unsuited as reason:
            unsuited.add(cases, row, str(reason))
        except ValueError as fault:
            bad.add(cases, row, str(fault))
    return Screening(cases, _without_duplicates(cases, good.entries(), bad), bad, unsuited)


def _without_duplicates(cases: Cases, entries: Entries, bad: SetAside) -> Entries:
    """Return the entries without those whose case_id came before, which are set aside."""
    rows, stays = entries.table["row"], np.ones(len(entries), dtype=bool)
    for place, first in repeated(entries.table["key"]):
        row, case_id = int(rows[place]), cases[int(rows[place])].case_id
        if case_id == cases[int(rows[first])].case_id:  # and not merely of one key
            stays[place] = False
            bad.add(cases, row, f"duplicate case_id: {case_id!r}")
    return entries if stays.all() else entries.only(stays)


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
    return entry_of(case, row, task, (aspects, case.target is not None))


def entry_of(case: Case, row: int, task: str, bucket: Bucket) -> Entry:
    """Return an entry that tells the case and its source picture apart from others."""
    picture = key_number(case.source.fingerprint().hex())
    return Entry(row, key_number(case.case_id), task, bucket, picture, case.weight)


def checked_size(what: str, picture: Picture) -> tuple[int, int]:
    """Return a picture's (height, width) from its header; a BadPicture then names ``what`` it was to be."""
    try:
        return picture.size()
    except BadPicture as error:
        raise BadPicture(f"{error} ({what})") from error
