"""A contact sheet: source, edit and words of a few cases, drawn by lot with every task alike."""

from __future__ import annotations

import random
import textwrap
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import chain, zip_longest
from statistics import fmean

from PIL import Image, ImageDraw, ImageFont, ImageOps

from hpedit.cases import Candidate, Case
from hpedit.inspecting.survey import task_name
from hpedit.pictures import BadPicture, Picture

SIDE = 256  # of a picture's square, in pixels
_GAP, _LINES, _LINE = 10, 4, 19
_WIDTH, _HEIGHT = 2 * SIDE + 3 * _GAP, SIDE + (_LINES + 1) * _LINE + 3 * _GAP
_INK, _PALE, _GREY, _CARD = "#202020", "#606060", "#cccccc", "#f2f2f0"
# Pillow's own letters have no Chinese ones; these files do, where the system has one of them.
_CHINESE = ("NotoSansCJK-Regular.ttc", "wqy-zenhei.ttc", "wqy-microhei.ttc", "PingFang.ttc", "msyh.ttc")

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


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
    scored = [] if score is None else [f"score {score:.2f}"]
    words = [
        task_name(case).replace("_", " "),
        *scored,
        what,
    ]  # the name last: a long one runs out of the cell
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
    size = columns * (_WIDTH + _GAP) + _GAP, rows * (_HEIGHT + _GAP) + _GAP
    sheet = Image.new("RGB", size, "white")
    for place, triplet in enumerate(triplets):
        row, column = divmod(place, columns)
        sheet.paste(_cell(triplet), (_GAP + column * (_WIDTH + _GAP), _GAP + row * (_HEIGHT + _GAP)))
    return sheet


def _cell(triplet: Triplet) -> Image.Image:
    cell = Image.new("RGB", (_WIDTH, _HEIGHT), _CARD)
    pen, font = ImageDraw.Draw(cell), _font(triplet.instruction)
    for left, picture in ((_GAP, triplet.source), (2 * _GAP + SIDE, triplet.edit)):
        if picture is None:
            pen.rectangle((left, _GAP, left + SIDE - 1, _GAP + SIDE - 1), outline=_GREY)
        else:
            cell.paste(picture, (left + (SIDE - picture.width) // 2, _GAP + (SIDE - picture.height) // 2))
    words = 2 * _GAP + SIDE
    pen.text((_GAP, words), triplet.title, fill=_PALE, font=font)
    lines = "\n".join(_wrapped(triplet.instruction, font))
    pen.multiline_text((_GAP, words + _LINE), lines, fill=_INK, font=font, spacing=4)
    return cell


def _font(words: str) -> Font:
    for name in () if words.isascii() else _CHINESE:
        try:
            return ImageFont.truetype(name, 14)
        except OSError:
            continue
    return ImageFont.load_default(14)


def _wrapped(words: str, font: Font) -> list[str]:
    """Break a text into lines that fit, by the width of its own letters; what is too long ends in dots."""
    letter = max(font.getlength(words) / max(len(words), 1), 1)
    lines = textwrap.wrap(words, max(int(0.9 * _WIDTH / letter), 1))
    return lines if len(lines) <= _LINES else [*lines[: _LINES - 1], lines[_LINES - 1][:-3] + "..."]


def _small(picture: Picture) -> Image.Image:
    return ImageOps.contain(picture.decode(), (SIDE, SIDE), Image.Resampling.LANCZOS)
