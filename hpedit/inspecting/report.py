"""A survey as text for a terminal, and as plain values for JSON."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from hpedit.framing import ASPECTS
from hpedit.inspecting.survey import BIN, Scores, Spread, Survey
from hpedit.tasks import TASKS

_BAR = 40
_CATEGORIES = 20
_SHOWN = 3


def text(survey: Survey) -> str:
    """Return the report that is printed; parts of which the data have nothing are left out."""
    return "\n\n".join("\n".join(line.rstrip() for line in part) for part in _parts(survey) if part)


def as_json(survey: Survey) -> dict[str, Any]:
    """Return all counts, and up to 20 examples of each kind of problem."""
    counts = {name: dict(getattr(survey, name)) for name in _COUNTERS}
    spreads = {name: _spread(getattr(survey, name)) for name in ("height", "width", "weight")}
    scores = {
        name: {"bins": s.bins, "bin": BIN, "missing": s.missing, "outside": s.outside}
        for name, s in survey.scores.items()
    }
    means = {task: spread.mean for task, spread in survey.by_task.items()}
    numbers = {name: getattr(survey, name) for name in _NUMBERS}
    return {
        **numbers,
        **counts,
        **spreads,
        "scores": scores,
        "best_score_by_task": means,
        "examples": dict(survey.examples),
    }


_NUMBERS = ("records", "good", "pictures", "with_target", "with_references", "rated", "pairable")
_COUNTERS = (
    *("tasks", "languages", "categories", "aspects", "candidates"),
    *("datasets", "licenses", "raters", "problems"),
)


def _parts(survey: Survey) -> Iterator[list[str]]:
    yield [
        f"{survey.records:,} records, {survey.good:,} without a problem; {survey.pictures:,} distinct source pictures"
    ]
    yield _tasks(survey)
    yield _bars("category", dict(survey.categories.most_common(_CATEGORIES)), _more(survey.categories))
    yield _bars("aspect of the source", {a: survey.aspects[a] for a in ASPECTS if survey.aspects[a]})
    yield _facts(survey)
    for name, scores in sorted(survey.scores.items()):
        yield _histogram(name, scores)
    yield _problems(survey)


def _tasks(survey: Survey) -> list[str]:
    """Return the bars of the tasks, missing ones too, with the mean of the cases' best scores."""
    tasks = {task: survey.tasks[task] for task in (*TASKS, *sorted(set(survey.tasks) - set(TASKS)))}
    lines = _bars("task", tasks)
    if survey.by_task:
        lines[0] += "   best score, mean"
        for i, task in enumerate(tasks, 1):
            mean = survey.by_task[task].mean if task in survey.by_task else math.nan
            lines[i] += "" if math.isnan(mean) else f"   {mean:.2f}"
    return lines


def _facts(survey: Survey) -> list[str]:
    height, width, weight = survey.height, survey.width, survey.weight
    facts = {
        "height, pixels": f"{height.least:g} - {height.most:g}, mean {height.mean:.0f}"
        if height.count
        else "",
        "width, pixels": f"{width.least:g} - {width.most:g}, mean {width.mean:.0f}" if width.count else "",
        "languages": _listed(survey.languages),
        "with a target": _of(survey.with_target, survey),
        "with references": _of(survey.with_references, survey),
        "candidates a case": ", ".join(f"{n} x {count:,}" for n, count in sorted(survey.candidates.items())),
        "give a preference pair": _of(survey.pairable, survey),
        "rated by people": f"{_of(survey.rated, survey)}; ratings by rater: {_listed(survey.raters)}"
        if survey.rated
        else "",
        "weight": f"{weight.least:g} - {weight.most:g}, mean {weight.mean:.3g}"
        if weight.least < weight.most
        else "",
        "from": _listed(survey.datasets),
        "licence": _listed(survey.licenses),
    }
    return [f"{name:<24}{fact}" for name, fact in facts.items() if fact]


def _histogram(name: str, scores: Scores) -> list[str]:
    bins = {f"{i * BIN:.1f} - {(i + 1) * BIN:.1f}": count for i, count in enumerate(scores.bins)}
    lines = _bars(f"score by {name}", bins)
    lines += [f"{'could not be had':<24}{scores.missing:>8,}"] if scores.missing else []
    return lines + ([f"{'outside 0 - 5':<24}{scores.outside:>8,}"] if scores.outside else [])


def _problems(survey: Survey) -> list[str]:
    if not survey.problems:
        return ["no problems found"]
    lines = ["problems"]
    for kind, count in survey.problems.most_common():
        lines.append(f"{count:>8,} x {kind}")
        lines += [f"             {example}" for example in survey.examples[kind][:_SHOWN]]
        lines += [f"             and {count - _SHOWN:,} more"] if count > _SHOWN else []
    return lines


def _bars(title: str, counts: Mapping[str, int], more: str = "") -> list[str]:
    """Return a title and a bar for each count; nothing where there is nothing to count."""
    most = max(counts.values(), default=0)
    if not most:
        return []
    lines = [
        f"  {name:<22}{count:>8,} {'#' * math.ceil(_BAR * count / most):<{_BAR}}"
        for name, count in counts.items()
    ]
    return [f"{title:<32} {'':<{_BAR}}", *lines, *([f"  {more}"] if more else [])]


def _more(categories: Counter[str]) -> str:
    left = len(categories) - _CATEGORIES
    return f"and {left} more categories" if left > 0 else ""


def _listed(counts: Counter[Any], shown: int = 6) -> str:
    names = ", ".join(f"{name} {count:,}" for name, count in counts.most_common(shown))
    return names + (f" and {len(counts) - shown} more" if len(counts) > shown else "")


def _of(count: int, survey: Survey) -> str:
    return f"{count:,} of {sum(survey.tasks.values()):,} cases"


def _spread(spread: Spread) -> dict[str, float] | None:
    return {"least": spread.least, "mean": spread.mean, "most": spread.most} if spread.count else None
