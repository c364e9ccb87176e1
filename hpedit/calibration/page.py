"""The agreement report as one HTML file that needs nothing beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from hpedit.calibration.agreement import AgreementReport
from hpedit.calibration.bootstrap import Estimate
from hpedit.calibration.gallery import data_url, gallery_html
from hpedit.calibration.plots import histogram_png, scatter_png
from hpedit.calibration.tables import MACRO, POOLED, Cell, Table, comparison, tables

_WIDE = 5  # columns; narrower tables stand side by side
_STYLE = """
:root { --ink: #1f2933; --soft: #616e7c; --line: #e4e7eb; --judge: #2b6cb0; --people: #dd8a2e; }
* { box-sizing: border-box; }
body { margin: 0; background: #f7f8f9; color: var(--ink); font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 32px 28px 80px; }
h1 { font-size: 28px; margin: 0 0 4px; }
h2 { font-size: 21px; margin: 48px 0 8px; }
h3 { font-size: 16px; margin: 28px 0 8px; }
.lead, .note { color: var(--soft); }
.note { font-size: 13px; margin: 6px 0 0; }
.panel, .tile, .card { background: #fff; border: 1px solid var(--line); border-radius: 10px; }
.panel { padding: 4px 22px 20px; margin: 18px 0; }
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(320px, 1fr)); column-gap: 18px; }
.panels .panel { margin: 0 0 18px; }
.tiles { display: flex; flex-wrap: wrap; gap: 12px; margin: 20px 0; }
.tile { padding: 12px 18px; min-width: 150px; }
.tile b { display: block; font-size: 26px; line-height: 1.2; }
.tile span { font-size: 13px; color: var(--soft); }
.tile small, td small { color: var(--soft); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 6px 10px; border-bottom: 1px solid var(--line); vertical-align: top; }
td { white-space: nowrap; }
th { color: var(--soft); font-weight: 600; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; }
td small { display: block; font-size: 11px; }
tr.total td { background: #f2f5f8; font-weight: 600; }
img.plot { max-width: 100%; height: auto; display: block; margin: 8px auto; }
img.small { max-width: min(620px, 100%); }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(340px, 1fr)); gap: 16px; }
.card { padding: 14px; display: flex; flex-direction: column; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 8px; }
figure { margin: 0; }
.pair img, .broken { width: 100%; aspect-ratio: 1; border-radius: 6px; display: block; }
.pair img { object-fit: contain; background: #eef1f4; }
.broken { background: #fdf0ee; color: #a3382a; font-size: 12px; padding: 10px; overflow: hidden; }
figcaption { font-size: 11px; color: var(--soft); text-align: center; }
.instruction { margin: 8px 0; flex: 1; overflow-wrap: anywhere; }
.verdict { display: grid; grid-template-columns: 1fr auto; align-items: end; row-gap: 4px; }
.verdict > div { grid-column: 1; }
.verdict b { font-size: 18px; }
.chip { border: 1px solid var(--people); color: #8a5212; border-radius: 9px; padding: 0 7px; font-size: 12px; }
.gap { font-weight: 600; }
.gap.high { color: #b83a2b; }
.gap.low { color: #1a6f8a; }
.verdict > .digits { grid-column: 2; grid-row: 1 / span 2; display: flex; gap: 3px; height: 56px; }
.digits span { width: 15px; height: 100%; display: flex; flex-direction: column; text-align: center; }
.digits s { flex: 1; display: flex; align-items: flex-end; min-height: 0; }
.digits i { background: var(--judge); border-radius: 2px 2px 0 0; min-height: 1px; width: 100%; }
.digits em { font: 10px/14px system-ui, "DejaVu Sans", sans-serif; color: var(--soft); }
.digits em { border-top: 1px solid var(--line); }
.source { font-size: 12px; color: var(--soft); margin: 8px 0 0; overflow-wrap: anywhere; }
"""


def page(reports: Sequence[AgreementReport], lead: str, notes: Sequence[str], gallery: int) -> str:
    """Return the report of one or several judges as HTML.

    Args:
        reports: one a judge, all of the same edits.
        lead: what was compared, one line.
        notes: how to read it, a paragraph each.
        gallery: how many of the largest disagreements to show of each judge.
    """
    head = [_panel(_table(comparison(reports)))] if len(reports) > 1 else []
    body = "\n".join([*head, *(_judge(report, gallery) for report in reports)])
    told = "".join(f"<p>{escape(note)}</p>" for note in notes)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Agreement with people</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>
<body><main><h1>Agreement with people</h1><p class="lead">{escape(lead)}</p>
{body}
<h2>Notes</h2><div class="note">{told}</div></main></body></html>
"""


def _judge(report: AgreementReport, gallery: int) -> str:
    wide, narrow = [], []
    for table in tables(report):
        (narrow if len(table.head) < _WIDE else wide).append(_panel(_table(table)))
    panels = "\n".join([*wide, '<div class="panels">', *narrow, "</div>"])
    cards = gallery_html(report, gallery)
    shown = f'<h3>Largest disagreements</h3><div class="gallery">{cards}</div>' if cards else ""
    return f"""<h2>{escape(report.judge)}</h2>
<div class="tiles">{_tiles(report)}</div>
{_panel(_plot(scatter_png(report), "plot", "judge against mean human score, by task"))}
{panels}
{_panel("<h3>How the scores are spread</h3>" + _plot(histogram_png(report), "plot small", "histogram of scores"))}
{shown}"""


def _tiles(report: AgreementReport) -> str:
    tiles = [
        ("PLCC, mean of tasks", report.macro["plcc"]),
        ("SRCC, mean of tasks", report.macro["srcc"]),
        ("MAE, mean of tasks", report.macro["mae"]),
        ("rank within a case", report.macro["within_case"]),
    ]
    if report.pooled.ceiling is not None:
        tiles.append(("judge / rater, PLCC", report.pooled.ceiling.ratio["plcc"]))
    return "".join(f'<div class="tile"><span>{name}</span>{_figure(figure)}</div>' for name, figure in tiles)


def _figure(figure: Estimate) -> str:
    if math.isnan(figure.value):
        return "<b>n/a</b>"
    around = "" if math.isnan(figure.low) else f"<small>{figure.low:.3f} to {figure.high:.3f}</small>"
    return f"<b>{figure.value:.3f}</b>{around}"


def _panel(content: str) -> str:
    return f'<section class="panel">{content}</section>'


def _plot(png: bytes, kind: str, label: str) -> str:
    return f'<img class="{kind}" alt="{label}" src="{data_url(png, "png")}">'


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in table.head)
    rows = "".join(_row(row) for row in table.rows)
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    return (
        f'<h3>{escape(table.title)}</h3><div class="scroll"><table><tr>{head}</tr>{rows}</table></div>{note}'
    )


def _row(row: tuple[Cell, ...]) -> str:
    total = ' class="total"' if row[0] in (MACRO, POOLED) else ""
    return f"<tr{total}>" + "".join(f"<td>{_cell(cell)}</td>" for cell in row) + "</tr>"


def _cell(cell: Cell) -> str:
    if not isinstance(cell, Estimate):
        return escape(str(cell))
    if math.isnan(cell.value):
        return "n/a"
    around = "" if math.isnan(cell.low) else f"<small>{cell.low:.3f} to {cell.high:.3f}</small>"
    return f"{cell.value:.3f}{around}"
