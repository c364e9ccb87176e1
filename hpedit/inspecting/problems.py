"""What can be wrong with a record that is a case."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from hpedit.cases import Case
from hpedit.pictures import BadPicture, Picture
from hpedit.tasks import canonical_task

# Chinese characters: the common block, and the one of rare ones.
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
_LANGUAGES = ("en", "zh")


class Watch:
    """Looks at cases one after the other and says what is wrong with each, "kind: details".

    Keeps 16 bytes of a case, to know its like again.

    Args:
        decode: decode every picture; False looks at headers only, which is faster and misses damage further on.
    """

    def __init__(self, decode: bool) -> None:
        self.decode = decode
        self._ids: set[bytes] = set()
        self._edits: set[bytes] = set()
        self.pictures: set[bytes] = set()

    def problems(self, case: Case) -> Iterator[str]:
        """Yield what is wrong with a case."""
        yield from _words(case)
        key = _digest(case.case_id.encode())
        if key in self._ids:
            yield f"duplicate case_id: {case.case_id!r}, by which groups are told apart"
        self._ids.add(key)
        yield from self._of_pictures(case)
        known = {candidate.cand_id for candidate in case.candidates}
        lost = {s.cand_id for s in case.scores} | {h.cand_id for h in case.humans}
        if lost - known:
            yield f"lost candidate: a score or rating is of {sorted(lost - known)[0]!r}, which the case does not have"

    def _of_pictures(self, case: Case) -> Iterator[str]:
        source = None
        for name, picture in named_pictures(case):
            try:
                picture.decode() if self.decode else picture.size()
                digest = _digest(picture.read())
            except BadPicture as fault:
                yield f"{fault} ({name})"
                continue
            if name == "source":
                source = digest
            elif digest == source and not name.startswith("reference"):
                yield f"unchanged edit: the {name} is the source, byte for byte"
        if source is None:
            return
        self.pictures.add(source)
        edit = _digest(source, case.instruction.strip().lower().encode())
        if edit in self._edits:
            yield f"duplicate case: an earlier one has the same picture and the instruction {case.instruction!r}"
        self._edits.add(edit)


def named_pictures(case: Case) -> Iterator[tuple[str, Picture]]:
    """Yield all pictures of a case with the names that messages give them."""
    yield "source", case.source
    yield from ((f"reference {i}", picture) for i, picture in enumerate(case.references, 1))
    if case.target is not None:
        yield "target", case.target
    yield from ((f"candidate {c.cand_id}", c.image) for c in case.candidates)


def _words(case: Case) -> Iterator[str]:
    try:
        canonical_task(case.task, "bad task")
    except ValueError as fault:
        yield str(fault)
    odd = odd_language(case.instruction, case.instruction_lang)
    if odd:
        yield f"odd language: {odd}"


def odd_language(instruction: str, language: str) -> str | None:
    """Say why an instruction is hardly of the language that its record names; None where nothing speaks against it."""
    if language not in _LANGUAGES:
        return f"instruction_lang is {language!r}, expected one of {', '.join(_LANGUAGES)}"
    letters = [c for c in instruction if c.isalpha()]
    if not letters:
        return f"the instruction {instruction!r} has no letter"
    han = sum(bool(_HAN.match(c)) for c in letters) / len(letters)
    if language == "zh" and han == 0:
        return f"instruction_lang is zh, but no character of {instruction!r} is Chinese"
    foreign = sum(not c.isascii() for c in letters) / len(letters)
    if language == "en" and foreign > 0.5:
        return f"instruction_lang is en, but most letters of {instruction!r} are of another script"
    return None


def _digest(*parts: bytes) -> bytes:
    return hashlib.blake2b(b"\0".join(parts), digest_size=16).digest()
