"""Counts over all records of a data set, made in one pass; only counts are kept."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from statistics import fmean

from hpedit.cases import Case
from hpedit.framing import ASPECTS, Frame
from hpedit.inspecting.problems import Watch
from hpedit.inspecting.source import Record
from hpedit.pictures import BadPicture
from hpedit.tasks import canonical_task

BIN = 0.5  # of the histogram of scores, which go from 0 to 5
_KEPT = 20
_SHAPES = Frame(ASPECTS, 1024, 1024, 16)


@dataclass
class Scores:
    """Scores of one scorer: those in [i, i + 1) * BIN by i, the last with its end, and those that could not be had."""

    bins: list[int] = field(default_factory=lambda: [0] * round(5 / BIN))
    missing: int = 0
    outside: int = 0

    def add(self, value: float | None) -> None:
        if value is None or not math.isfinite(value):
            self.missing += 1
        elif 0 <= value <= 5:
            self.bins[min(int(value / BIN), len(self.bins) - 1)] += 1
        else:
            self.outside += 1


@dataclass
class Spread:
    """Least, mean and largest of many numbers."""

    count: int = 0
    least: float = math.inf
    most: float = -math.inf
    total: float = 0.0

    def add(self, value: float) -> None:
        self.count, self.total = self.count + 1, self.total + value
        self.least, self.most = min(self.least, value), max(self.most, value)

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else math.nan


@dataclass
class Survey:
    """What was seen of a data set.

    Attributes:
        records: number of records; ``good`` have no problem.
        aspects: sources by nearest aspect ratio, width:height.
        candidates: cases by their number of candidates.
        by_task: mean over cases of the best candidate's score, by task.
        pairable: cases whose candidates differ in score, so that they make a preference pair.
        problems: records by kind of problem, and the first few of each kind in words.
    """

    records: int = 0
    good: int = 0
    tasks: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    categories: Counter[str] = field(default_factory=Counter)
    aspects: Counter[str] = field(default_factory=Counter)
    candidates: Counter[int] = field(default_factory=Counter)
    datasets: Counter[str] = field(default_factory=Counter)
    licenses: Counter[str] = field(default_factory=Counter)
    height: Spread = field(default_factory=Spread)
    width: Spread = field(default_factory=Spread)
    weight: Spread = field(default_factory=Spread)
    scores: dict[str, Scores] = field(default_factory=lambda: defaultdict(Scores))
    by_task: dict[str, Spread] = field(default_factory=lambda: defaultdict(Spread))
    raters: Counter[str] = field(default_factory=Counter)
    with_target: int = 0
    with_references: int = 0
    rated: int = 0
    pairable: int = 0
    pictures: int = 0
    problems: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))


class Surveyor:
    """Adds records to a survey. ``decode``: see Watch."""

    def __init__(self, decode: bool = True) -> None:
        self.survey, self._watch = Survey(), Watch(decode)

    def add(self, record: Record) -> None:
        """Count a record and its problems."""
        survey = self.survey
        survey.records += 1
        if isinstance(record.case, ValueError):
            found = [str(record.case)]
        else:
            found = list(self._watch.problems(record.case))
            _count(survey, record.case)
            survey.pictures = len(self._watch.pictures)
        for text in found:
            kind = re.split(r": | \(", text, maxsplit=1)[0]
            survey.problems[kind] += 1
            if len(survey.examples[kind]) < _KEPT:
                survey.examples[kind].append(f"{record.label}: {text}")
        survey.good += not found


def _count(survey: Survey, case: Case) -> None:
    task = task_name(case)
    survey.tasks[task] += 1
    survey.languages[case.instruction_lang] += 1
    survey.categories.update(case.categories)
    survey.datasets[case.provenance.dataset or "(not said)"] += 1
    survey.licenses[case.provenance.license or "(not said)"] += 1
    survey.with_target += case.target is not None
    survey.with_references += bool(case.references)
    survey.candidates[len(case.candidates)] += 1
    survey.weight.add(case.weight)
    _count_shape(survey, case)
    _count_opinions(survey, case, task)


def _count_shape(survey: Survey, case: Case) -> None:
    try:
        height, width = case.source.size()
    except BadPicture:
        return
    survey.height.add(height)
    survey.width.add(width)
    survey.aspects[_SHAPES.nearest((height, width))] += 1


def _count_opinions(survey: Survey, case: Case, task: str) -> None:
    values: dict[str, list[float]] = defaultdict(list)
    for score in case.scores:
        survey.scores[score.scorer].add(score.value)
        if score.value is not None and math.isfinite(score.value):
            values[score.cand_id].append(score.value)
    means = [fmean(v) for v in values.values()]
    if means:
        survey.by_task[task].add(max(means))
        survey.pairable += max(means) > min(means)
    survey.raters.update(human.rater for human in case.humans)
    survey.rated += bool(case.humans)


def task_name(case: Case) -> str:
    """Return the canonical task of a case, or what its record calls it where there is none."""
    try:
        return canonical_task(case.task)
    except ValueError:
        return f"{case.task} (unknown)"
