"""Which edits of a data set are to be scored, and how one becomes a request."""

from __future__ import annotations

import contextlib
import hashlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image
from torch import Tensor

from hpedit.cases import Candidate, Case
from hpedit.images import from_pil
from hpedit.pictures import BadPicture, Picture
from hpedit.records import Cases
from hpedit.scorers.base import ScoreRequest
from hpedit.tasks import canonical_task

TARGET = "target"
_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}


@dataclass(frozen=True)
class Edit:
    """One edit of a case; pictures are not read yet.

    Attributes:
        index: number of the case in its data set.
        case: the case, its task in its canonical name.
        candidate: the edit.
    """

    index: int
    case: Case
    candidate: Candidate

    def digest(self) -> str:
        """Return what tells apart all that is judged; a missing picture counts as an empty one."""
        case = self.case
        facts = (case.case_id, self.candidate.cand_id, case.task, case.instruction, case.requirement or "")
        digest = hashlib.blake2b(repr(facts).encode(), digest_size=16)
        for picture in (case.source, *case.references, self.candidate.image):
            with contextlib.suppress(BadPicture):
                digest.update(picture.fingerprint())
        return digest.hexdigest()

    def request(self, read: Callable[[Picture], Tensor]) -> ScoreRequest:
        """Read the pictures by ``read``, whose BadPicture passes through."""
        case = self.case
        return ScoreRequest(
            case_id=case.case_id,
            task=case.task,
            instruction=case.instruction,
            requirement=case.requirement or "",
            sources=tuple(map(read, (case.source, *case.references))),
            edit=read(self.candidate.image),
            target=None if case.target is None else read(case.target),
        )


@dataclass(frozen=True)
class Found:
    """What a data set has to be scored.

    Attributes:
        edits: in the order of the data.
        faults: why each record that cannot be used was set aside, by its label.
        bare: how many cases have no edit.
        unmatched: edited pictures that belong to no case.
    """

    edits: list[Edit]
    faults: dict[str, str]
    bare: int
    unmatched: int


def find_edits(data: Cases, which: str) -> Found:
    """List the edits of a data set.

    Args:
        data: the cases.
        which: "candidates", "target", or a folder of edited pictures, whose stems are those of the sources' files or
            the ids of cases. A subfolder there is one editor's, and named after it.

    Raises ValueError, naming --edits, where there is none.
    """
    files = _Files(which) if which not in ("candidates", TARGET) else None
    found, faults, bare = [], {}, 0
    for index in range(len(data)):
        try:
            case = data[index]
            case = replace(case, task=canonical_task(case.task))
        except ValueError as error:
            faults[data.label(index)] = str(error)
            continue
        candidates = _candidates(case, which) if files is None else files.of(case)
        found += [Edit(index, case, candidate) for candidate in candidates]
        bare += not candidates
    if not found:
        told = f", {next(iter(faults.items()))}" if faults else ""
        raise ValueError(
            f"--edits {which}: expected edits of the cases of {data.name}, found none{told}; "
            "wanted candidates, target, or a folder of pictures named as the sources or cases are"
        )
    return Found(found, faults, bare, 0 if files is None else files.unmatched())


def _candidates(case: Case, which: str) -> list[Candidate]:
    if which == "candidates":
        return list(case.candidates)
    return [] if case.target is None else [Candidate(TARGET, case.target, model=TARGET)]


class _Files:
    """Edited pictures of a folder, by stem."""

    def __init__(self, which: str) -> None:
        self._root = Path(which).expanduser()
        if not self._root.is_dir():
            raise ValueError(f"--edits: expected candidates, target or a folder of pictures, got {which!r}")
        self._by_stem: defaultdict[str, list[Path]] = defaultdict(list)
        for file in sorted(self._root.rglob("*")):
            if file.suffix.lower() in _SUFFIXES:
                self._by_stem[file.stem].append(file)
        self._used: set[str] = set()

    def of(self, case: Case) -> list[Candidate]:
        """Return the edits of a case: those named as its source's file is, else as the case is."""
        source = case.source.data
        names = ([source.stem] if isinstance(source, Path) else []) + [case.case_id]
        stem = next((name for name in names if name in self._by_stem), None)
        if stem is None:
            return []
        self._used.add(stem)
        return [self._candidate(file) for file in self._by_stem[stem]]

    def unmatched(self) -> int:
        return sum(len(files) for stem, files in self._by_stem.items() if stem not in self._used)

    def _candidate(self, file: Path) -> Candidate:
        place = file.relative_to(self._root)
        model = place.parts[0] if len(place.parts) > 1 else self._root.name
        return Candidate(place.with_suffix("").as_posix(), Picture(file), model=model)


def reader(max_pixels: int) -> Callable[[Picture], Tensor]:
    """Return a function that reads pictures as uint8 (3, H, W), those of more than ``max_pixels`` made smaller.

    It reads a picture that comes again once: edits of one case share their source, and backends its encoding.
    """
    seen: dict[int, Tensor] = {}

    def read(picture: Picture) -> Tensor:
        if id(picture) not in seen:
            seen[id(picture)] = _levels(picture, max_pixels)
        return seen[id(picture)]

    return read


def _levels(picture: Picture, max_pixels: int) -> Tensor:
    image = picture.decode()
    scale = (max_pixels / (image.width * image.height)) ** 0.5
    if scale < 1:
        size = max(1, int(image.width * scale)), max(1, int(image.height * scale))
        image = image.resize(size, Image.Resampling.LANCZOS)
    return from_pil(image)
