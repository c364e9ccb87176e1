"""Writing an agreement report: HTML to look at, Markdown to paste, JSON to compute with."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hpedit.calibration.agreement import AgreementReport
from hpedit.calibration.bootstrap import LEVEL, Estimate, plain
from hpedit.calibration.page import page
from hpedit.calibration.plots import histogram_png, scatter_png
from hpedit.calibration.tables import Cell, Table, comparison, tables

NAME = "agreement"
NOTES = (
    "PLCC, SRCC and KRCC are Pearson, Spearman and Kendall (tau-b) correlations of the judge's score with the mean of "
    "all raters. PLCC, mapped is Pearson after a four-parameter logistic fitted on these same edits: it flatters, and "
    "stands beside the raw one for comparison with papers that print it. QWK is the quadratic-weighted kappa of scores "
    "rounded to 0-5, halves up; exact and within 1 compare the same rounded scores.",
    "Pairs: the share of pairs of edits of one case that the judge orders as people do, of all pairs that people tell "
    "apart at all, or by at least one point; a pair that the judge ties counts 1/2. Within case: the mean over cases "
    "of the rank correlation between a case's edits; 0 where the judge ties them all.",
    "Intervals are 95 % percentile intervals of a bootstrap that draws whole cases, since edits of one case are not "
    "independent. For the macro mean each task's cases are drawn apart.",
    "Bias is judge minus human. By human score, expect some regression: a judge that errs without bias still scores "
    "above people where they score lowest, and below them where they score highest.",
    "People among themselves: each rater is held against the mean of the others, and the judge against that same mean; "
    "averages over raters are weighted by their edits. judge / rater above 1 means that the judge agrees with people "
    "better than one of them does.",
)


def write_report(
    reports: Sequence[AgreementReport], folder: str | Path, lead: str, gallery: int = 12
) -> list[Path]:
    """Write agreement.html, .md and .json and the plots that the Markdown shows; return the files.

    Args:
        reports: one a judge, all of the same edits.
        folder: where to; made if it is not there.
        lead: what was compared, one line.
        gallery: how many of the largest disagreements the HTML shows of each judge.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{NAME}.{kind}" for kind in ("html", "md", "json")]
    files[0].write_text(page(reports, lead, NOTES, gallery), encoding="utf-8")
    files[1].write_text(markdown(reports, lead), encoding="utf-8")
    files[2].write_text(json.dumps([as_json(r) for r in reports], indent=2) + "\n", encoding="utf-8")
    for number, report in enumerate(reports, start=1):
        for kind, draw in (("scatter", scatter_png), ("histogram", histogram_png)):
            files.append(folder / f"{kind}-{number}.png")
            files[-1].write_bytes(draw(report))
    return files


def markdown(reports: Sequence[AgreementReport], lead: str) -> str:
    """Return the tables as Markdown; the plots are files beside it."""
    blocks = ["# Agreement with people", lead]
    if len(reports) > 1:
        blocks.append(markdown_table(comparison(reports)))
    for number, report in enumerate(reports, start=1):
        blocks.append(f"## {report.judge}")
        blocks.append(f"![judge against people](scatter-{number}.png)")
        blocks.extend(markdown_table(table) for table in tables(report))
        blocks.append(f"![spread of the scores](histogram-{number}.png)")
    return "\n\n".join([*blocks, "## Notes", *NOTES]) + "\n"


def markdown_table(table: Table) -> str:
    """Return one table, its columns aligned so that it also reads as plain text."""
    cells = [list(table.head), *([_text(cell) for cell in row] for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["| " + " | ".join(_aligned(row, widths)) + " |" for row in cells]
    lines.insert(1, "|" + "|".join(["-" * (widths[0] + 2), *("-" * (w + 1) + ":" for w in widths[1:])]) + "|")
    return "\n\n".join(part for part in (f"### {table.title}", "\n".join(lines), table.note) if part)


def as_json(report: AgreementReport) -> dict[str, Any]:
    """Return the figures as plain values: null for what the data do not define, and no pictures."""
    return {
        "judge": report.judge,
        "level": LEVEL,
        "resamples": report.resamples,
        "seed": report.seed,
        "tasks": plain({task: asdict(group) for task, group in report.tasks.items()}),
        "macro": plain({name: asdict(figure) for name, figure in report.macro.items()}),
        "pooled": plain(asdict(report.pooled)),
        "by_level": plain([asdict(bias) for bias in report.by_level]),
        "by_editor": plain([asdict(bias) for bias in report.by_editor]),
        "failures": report.failures,
    }


def _text(cell: Cell) -> str:
    if not isinstance(cell, Estimate) or math.isnan(cell.low):
        return str(cell).replace("|", "\\|")
    return f"{cell.value:.3f} [{cell.low:.2f}, {cell.high:.2f}]"


def _aligned(row: list[str], widths: list[int]) -> list[str]:
    return [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
