"""A contact sheet: source, edit and words of a few cases, drawn by lot with every task alike."""

from __future__ import annotations

import random
import textwrap
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import chain, zip_longest
from statistics import fmean

from PIL import Image, ImageDraw, ImageFont

from hpedit.cases import Candidate, Case
from hpedit.inspecting.survey import task_name
from hpedit.pictures import BadPicture, Picture

SIDE = 256  # of a picture's square, in pixels
_GAP, _LINES, _LINE = 12, 5, 18
_WIDTH, _HEIGHT = 2 * SIDE + _GAP, SIDE + (_LINES + 1) * _LINE + 2 * _GAP
_INK, _PALE, _GREY = "#202020", "#707070", "#dddddd"


@dataclass(frozen=True)
class Triplet:
    """A case as the sheet shows it; ``edit`` is None where the case has none."""

    task: str
    title: str
    instruction: str
    source: Image.Image
    edit: Image.Image | None


class Lots:
    """Draws up to ``each`` cases of a task with equal chances, in one pass (reservoir sampling), as small pictures."""

    def __init__(self, each: int, seed: int) -> None:
        self.each, self._random = each, random.Random(seed)
        self._seen: Counter[str] = Counter()
        self._drawn: dict[str, list[Triplet]] = defaultdict(list)

    def add(self, case: Case) -> None:
        """Let a case take part; one whose pictures cannot be read does not."""
        task = task_name(case)
        place = self._random.randrange(self._seen[task] + 1)
        if self._seen[task] >= self.each and place >= self.each:
            self._seen[task] += 1
            return
        try:
            triplet = triplet_of(case)
        except BadPicture:
            return
        self._seen[task] += 1
        mine = self._drawn[task]
        if len(mine) < self.each:
            mine.append(triplet)
        else:
            mine[place] = triplet

    def triplets(self, count: int) -> list[Triplet]:
        """Return up to ``count`` of those drawn, the tasks in turn, then sorted by task."""
        turns = chain.from_iterable(zip_longest(*(self._drawn[task] for task in sorted(self._drawn))))
        return sorted([t for t in turns if t is not None][:count], key=lambda t: t.task)


def triplet_of(case: Case) -> Triplet:
    """Return a case with its first scored candidate, else its first, else its target. Raises BadPicture."""
    candidate, score = _shown(case)
    edit = candidate.image if candidate else case.target
    what = f"candidate {candidate.cand_id}" if candidate else "target" if case.target else "no edit"
    words = [task_name(case).replace("_", " "), what, *([f"score {score:.2f}"] if score is not None else [])]
    return Triplet(
        task=task_name(case),
        title="  |  ".join(words),
        instruction=case.instruction,
        source=_small(case.source),
        edit=None if edit is None else _small(edit),
    )


def _shown(case: Case) -> tuple[Candidate | None, float | None]:
    for candidate in case.candidates:
        values = [s.value for s in case.scores if s.cand_id == candidate.cand_id and s.value is not None]
        if values:
            return candidate, fmean(values)
    return (case.candidates[0], None) if case.candidates else (None, None)


def draw(triplets: list[Triplet], columns: int = 3) -> Image.Image:
    """Lay triplets out as one picture. Raises ValueError where there is none."""
    if not triplets:
        raise ValueError("contact sheet: expected a case whose pictures can be read, got none")
    columns = min(columns, len(triplets))
    rows = -(-len(triplets) // columns)
    size = columns * (_WIDTH + 2 * _GAP) + _GAP, rows * (_HEIGHT + _GAP) + _GAP
    sheet = Image.new("RGB", size, "white")
    for place, triplet in enumerate(triplets):
        row, column = divmod(place, columns)
        left, top = _GAP + column * (_WIDTH + 2 * _GAP), _GAP + row * (_HEIGHT + _GAP)
        sheet.paste(_cell(triplet), (left, top))
    return sheet


def _cell(triplet: Triplet) -> Image.Image:
    cell = Image.new("RGB", (_WIDTH, _HEIGHT), "white")
    pen, font = ImageDraw.Draw(cell), ImageFont.load_default(14)
    for left, picture in ((0, triplet.source), (SIDE + _GAP, triplet.edit)):
        if picture is None:
            pen.rectangle((left, 0, left + SIDE - 1, SIDE - 1), outline=_GREY)
        else:
            cell.paste(picture, (left + (SIDE - picture.width) // 2, (SIDE - picture.height) // 2))
    pen.text((0, SIDE + 6), triplet.title, fill=_PALE, font=font)
    lines = _wrapped(triplet.instruction, font)
    pen.multiline_text((0, SIDE + 6 + _LINE), "\n".join(lines), fill=_INK, font=font, spacing=3)
    return cell


def _wrapped(words: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> list[str]:
    """Break a text into lines that fit, by the width of its own letters; what is too long ends in dots."""
    letter = max(font.getlength(words) / max(len(words), 1), 1)
    lines = textwrap.wrap(words, max(int(0.92 * _WIDTH / letter), 1))
    return lines if len(lines) <= _LINES else [*lines[: _LINES - 1], lines[_LINES - 1][:-3] + "..."]


def _small(picture: Picture) -> Image.Image:
    image = picture.decode()
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return image
