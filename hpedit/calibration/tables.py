"""The agreement report as tables, to be laid out as text, Markdown or HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hpedit.calibration.agreement import AgreementReport, Bias, Group
from hpedit.calibration.bootstrap import Estimate

Cell = str | int | Estimate
# Names of the figures as the columns say them.
TITLES = {
    "plcc": "PLCC",
    "plcc_mapped": "PLCC, mapped",
    "srcc": "SRCC",
    "krcc": "KRCC (tau-b)",
    "qwk": "QWK",
    "mae": "MAE",
    "bias": "bias",
    "exact": "exact",
    "within_1": "within 1",
    "pairwise": "pairs",
    "pairwise_1": "pairs >= 1 apart",
    "within_case": "within case",
}
_SCORES = ("plcc", "plcc_mapped", "srcc", "krcc", "qwk", "mae", "bias")
_ORDERS = ("exact", "within_1", "pairwise", "pairwise_1", "within_case")
_COMPARED = ("plcc", "srcc", "qwk", "mae", "bias", "within_case")
MACRO, POOLED = "macro (mean of tasks)", "pooled"


@dataclass(frozen=True)
class Table:
    """One table with a note under it."""

    title: str
    head: tuple[str, ...]
    rows: list[tuple[Cell, ...]]
    note: str = ""


def comparison(reports: Sequence[AgreementReport]) -> Table:
    """Return one row a judge: the macro figures, tasks weighing the same."""
    rows: list[tuple[Cell, ...]] = [
        (r.judge, r.pooled.edits, r.pooled.missing, *(r.macro[name] for name in _COMPARED)) for r in reports
    ]
    head = ("judge", "edits", "missing", *(TITLES[name] for name in _COMPARED))
    note = "Macro means over tasks. Intervals of two judges may overlap although one is better on the same edits."
    return Table("Judges", head, rows, note)


def tables(report: AgreementReport) -> list[Table]:
    """Return all tables of one judge, most important first."""
    found = [_scores(report), _orders(report), _ceilings(report)]
    found.append(
        _biases(
            "Bias by human score",
            "human score",
            report.by_level,
            "Judge minus human; see regression in Notes.",
        )
    )
    found.append(
        _biases("Bias by editor", "editor", report.by_editor, "A judge that favours an editor shows it here.")
    )
    if report.failures:
        rows: list[tuple[Cell, ...]] = [(reason, count) for reason, count in report.failures.items()]
        found.append(
            Table("Missing scores", ("reason", "edits"), rows, "Missing is left out, never counted as 0.")
        )
    return [table for table in found if table.rows]


def task_title(task: str) -> str:
    """Return a task's name as people write it."""
    return task.replace("_", " ").capitalize()


def _scores(report: AgreementReport) -> Table:
    rows = _figure_rows(report, _SCORES, lambda group: (group.edits, group.missing))
    failed = [task_title(t) for t, g in (*report.tasks.items(), (POOLED, report.pooled)) if g.map_failure]
    note = f"PLCC, mapped is the raw one for want of a fit: {', '.join(failed)}." if failed else ""
    return Table("Agreement", ("task", "edits", "missing", *(TITLES[n] for n in _SCORES)), rows, note)


def _orders(report: AgreementReport) -> Table:
    rows = _figure_rows(report, _ORDERS, lambda group: (group.pairs,))
    head = ("task", "pairs told apart", *(TITLES[name] for name in _ORDERS))
    note = "Pairs are edits of one case; a tie of the judge counts 1/2. Within case is what Flow-GRPO learns from."
    return Table("Classes and order", head, rows, note)


def _figure_rows(report: AgreementReport, names: Sequence[str], counts) -> list[tuple[Cell, ...]]:
    def row(name: str, of: dict[str, Estimate], numbers: Sequence[int]) -> tuple[Cell, ...]:
        return (name, *numbers, *(of[figure] for figure in names))

    rows = [row(task_title(task), group.figures, counts(group)) for task, group in report.tasks.items()]
    if len(rows) > 1:
        totals = [sum(column) for column in zip(*map(counts, report.tasks.values()), strict=True)]
        rows.append(row(MACRO, report.macro, totals))
        rows.append(row(POOLED, report.pooled.figures, counts(report.pooled)))
    return rows


def _ceilings(report: AgreementReport) -> Table:
    groups = {task_title(task): group for task, group in report.tasks.items()}
    if len(groups) > 1:
        groups[POOLED] = report.pooled
    head = (
        *("task", "raters", "edits", "PLCC: a rater", "PLCC: the judge", "judge / rater"),
        *("QWK: a rater", "QWK: the judge", "alpha, interval", "alpha, ordinal"),
    )
    note = "Each rater, and the judge in that rater's place, against the mean of the other raters."
    rows = [row for name, group in groups.items() if (row := _ceiling_row(name, group))]
    return Table("People among themselves", head, rows, note)


def _ceiling_row(name: str, group: Group) -> tuple[Cell, ...] | None:
    found = group.ceiling
    if found is None:
        return None
    return (
        *(name, found.raters, found.edits, found.rater["plcc"], found.judge["plcc"], found.ratio["plcc"]),
        *(found.rater["qwk"], found.judge["qwk"], found.alpha_interval, found.alpha_ordinal),
    )


def _biases(title: str, kind: str, biases: Sequence[Bias], note: str) -> Table:
    return Table(title, (kind, "edits", "bias"), [(b.name, b.edits, b.bias) for b in biases], note)
