"""Stage: photographs become cases, by instructions that a VLM writes for the tasks that fit them."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

from torch import Tensor

from hpedit.build.instructions import Language
from hpedit.build.kinds import CASES, PHOTOS, Kind
from hpedit.build.photo import Photo
from hpedit.build.questions import Wish
from hpedit.build.stage import Failure, Outcome, Work, Workers
from hpedit.build.writer import InstructionWriter, Nonsense, Reply
from hpedit.cases import Case, ScoreRecord
from hpedit.noise import key_number
from hpedit.pictures import BadPicture
from hpedit.tasks import TASKS


@dataclass(frozen=True)
class Annotate:
    """Makes cases of photographs. Which tasks a VLM is asked for is drawn by a photograph's id; where one does not fit,
    or two replies of the VLM cannot be used, the next is asked for.

    An edit that came with a public data set keeps its instruction; only where its task is not known is the VLM asked
    which it is. Edits of no task, or of none that is asked for, are left out, and so are photographs that no task fits.

    Attributes:
        writer: the VLM and its prompts; null asks none: edits that came with instruction and task become cases, and
            everything else is left out.
        tasks: that are asked for.
        per_photo: most instructions of a photograph, each of another task.
        chinese: share of the instructions that are asked for in Chinese, in [0, 1]; the others are English.
        seed: of what is drawn: tasks, languages, styles, directions of light ...
        chunk_rows: photographs in a chunk.
        workers: who asks; a batch's questions are asked at once.
    """

    writer: InstructionWriter | None
    tasks: tuple[str, ...] = TASKS
    per_photo: int = 3
    chinese: float = 0.0
    seed: int = 0
    chunk_rows: int = 64
    workers: Workers = Workers(batch_size=32)
    name: ClassVar[str] = "annotate"
    version: ClassVar[int] = 1
    reads: ClassVar[Kind[Photo]] = PHOTOS
    writes: ClassVar[Kind[Case]] = CASES

    def __post_init__(self) -> None:
        if not self.tasks or (unknown := [t for t in self.tasks if t not in TASKS]):
            got = unknown[0] if self.tasks else "none"
            raise ValueError(f"annotate.tasks: expected tasks of {', '.join(TASKS)}, got {got!r}")
        if self.per_photo < 1:
            raise ValueError(f"annotate.per_photo: expected at least 1, got {self.per_photo}")
        if not 0.0 <= self.chinese <= 1.0:
            raise ValueError(f"annotate.chinese: expected a share in [0, 1], got {self.chinese}")

    def check(self) -> None:
        # A copy: this stage travels to the workers, and open connections and loaded models cannot.
        if self.writer is not None:
            deepcopy(self.writer).check()

    def open(self) -> Work[Photo, Case]:
        return partial(_annotate, self)


@dataclass
class _Page:
    """A photograph while instructions are written for it.

    Attributes:
        queue: tasks not yet asked for, in order.
        texts: instructions by task.
        faults: what was wrong with replies that could not be used.
        failure: why the VLM gave no reply at all.
    """

    photo: Photo
    image: Tensor
    queue: list[str]
    texts: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    failure: Failure | None = None

    def next_tasks(self, most: int) -> list[str]:
        """Take from the queue as many tasks as are wanted still, of ``most`` in all."""
        count = 0 if self.failure else most - len(self.texts)
        taken, self.queue = self.queue[:count], self.queue[count:]
        return taken

    def note(self, task: str, result: Reply) -> None:
        if isinstance(result, Failure):
            self.failure = result
        elif isinstance(result, Nonsense):
            self.faults.append(result.fault)
        elif result is not None and result.casefold() not in map(str.casefold, self.texts.values()):
            self.texts[task] = result

    def outcome(self, settings: Annotate) -> Outcome[Case]:
        # Without a reply the photograph fails as a whole, so that a retry finds it whole.
        if self.failure is not None:
            return self.failure
        if self.faults and not self.texts:
            return Failure(f"the VLM wrote no instruction that can be used: {self.faults[0]}")
        return [
            case_of_photo(self.photo, t, text, language_of(settings, self.photo, t))
            for t, text in self.texts.items()
        ]


def _annotate(settings: Annotate, photos: Sequence[Photo]) -> list[Outcome[Case]]:
    given = [i for i, photo in enumerate(photos) if photo.instruction is not None]
    bare = [i for i, photo in enumerate(photos) if photo.instruction is None]
    outcomes: dict[int, Outcome[Case]] = {i: [] for i in bare}
    outcomes |= zip(given, _given_edits(settings, [photos[i] for i in given]), strict=True)
    if settings.writer is not None:
        written = _written_edits(settings, settings.writer, [photos[i] for i in bare])
        outcomes |= zip(bare, written, strict=True)
    return [outcomes[i] for i in range(len(photos))]


def _given_edits(settings: Annotate, photos: Sequence[Photo]) -> list[Outcome[Case]]:
    """Make cases of edits that came with their instruction."""
    tasks = _tasks(settings, photos)
    return [_given_edit(settings, photo, task) for photo, task in zip(photos, tasks, strict=True)]


def _tasks(settings: Annotate, photos: Sequence[Photo]) -> list[Reply]:
    """Return the task of each edit, asking for those that are not known."""
    if settings.writer is None:
        return [photo.task for photo in photos]
    shown = [None if photo.task else _shown(settings.writer, photo) for photo in photos]
    pairs = list(zip(photos, shown, strict=True))
    asked = [(image, photo.instruction or "") for photo, image in pairs if isinstance(image, Tensor)]
    replies = iter(settings.writer.sort(asked))
    return [next(replies) if isinstance(image, Tensor) else image or photo.task for photo, image in pairs]


def _given_edit(settings: Annotate, photo: Photo, task: Reply) -> Outcome[Case]:
    if isinstance(task, Failure):
        return task
    if isinstance(task, Nonsense):
        return Failure(f"the VLM named no task: {task.fault}")
    if task is None or task not in settings.tasks:
        return []
    return [case_of_photo(photo, task, photo.instruction or "", photo.instruction_lang or "en")]


def _written_edits(
    settings: Annotate, writer: InstructionWriter, photos: Sequence[Photo]
) -> list[Outcome[Case]]:
    shown = [_shown(writer, photo) for photo in photos]
    pages = {
        i: _Page(photo, image, task_order(settings, photo))
        for i, (photo, image) in enumerate(zip(photos, shown, strict=True))
        if isinstance(image, Tensor)
    }
    while asked := [(page, task) for page in pages.values() for task in page.next_tasks(settings.per_photo)]:
        wishes = [_wish(settings, page, task) for page, task in asked]
        for (page, task), result in zip(asked, writer.write(wishes), strict=True):
            page.note(task, result)
    return [
        image if isinstance(image, Failure) else pages[i].outcome(settings) for i, image in enumerate(shown)
    ]


def _shown(writer: InstructionWriter, photo: Photo) -> Tensor | Failure:
    try:
        return writer.shown(photo.image.decode())
    except BadPicture as error:
        return Failure(str(error))


def _wish(settings: Annotate, page: _Page, task: str) -> Wish:
    language = language_of(settings, page.photo, task)
    return Wish(page.photo.photo_id, page.image, task, language, settings.seed)


def task_order(settings: Annotate, photo: Photo) -> list[str]:
    """Return the tasks to ask for, in the order that the photo's id draws; one only where its data set names it."""
    wanted = [task for task in settings.tasks if photo.task in (None, task)]
    return sorted(wanted, key=lambda task: key_number(settings.seed, photo.photo_id, task))


def language_of(settings: Annotate, photo: Photo, task: str) -> Language:
    """Return the language that is drawn for a photo and task."""
    drawn = key_number(settings.seed, photo.photo_id, task, "language") / 2**63
    return "zh" if drawn < settings.chinese else "en"


def case_of_photo(photo: Photo, task: str, instruction: str, language: str) -> Case:
    """Return the case of a photograph and an instruction; ratings of its target become scores of "target"."""
    return Case(
        case_id=f"{photo.photo_id}-{task}",
        task=task,
        instruction=instruction,
        instruction_lang=language,
        source=photo.image,
        target=photo.target,
        categories=photo.categories,
        provenance=photo.provenance,
        scores=tuple(ScoreRecord("target", r.scorer, read="given", value=r.value) for r in photo.ratings),
    )
