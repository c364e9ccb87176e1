"""The agreement report's pictures: judge against people, as in the paper's Figure S1. PNG bytes."""

from __future__ import annotations

import io
import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hpedit.calibration.agreement import AgreementReport, Group
from hpedit.calibration.metrics import Floats
from hpedit.calibration.tables import task_title

_INK, _GREY, _JUDGE, _PEOPLE = "#1f2933", "#9aa5b1", "#2b6cb0", "#dd8a2e"
_COLUMNS = 4


def scatter_png(report: AgreementReport) -> bytes:
    """Return one panel a task: the judge's score over the human mean, with its PLCC and the line of agreement."""
    x, y, task = _points(report)
    columns = min(_COLUMNS, len(report.tasks))
    rows = math.ceil(len(report.tasks) / columns)
    figure = Figure(figsize=(2.9 * columns + 0.5, 2.95 * rows + 0.5), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axis, (name, group) in zip(axes, report.tasks.items(), strict=False):
        _panel(axis, x[task == name], y[task == name], f"{task_title(name)}\n{_caption(group)}")
    for axis in axes[len(report.tasks) :]:
        axis.set_visible(False)
    figure.supxlabel("mean human score", color=_INK, fontsize=10)
    figure.supylabel("judge", color=_INK, fontsize=10)
    return _png(figure)


def histogram_png(report: AgreementReport) -> bytes:
    """Return how the human means and the judge's scores are spread over the scale."""
    x, y, _ = _points(report)
    figure = Figure(figsize=(6.2, 2.7), layout="constrained")
    axis = figure.subplots()
    bins = np.arange(-0.125, 5.25, 0.25).tolist()
    axis.hist([x, y], bins=bins, color=[_PEOPLE, _JUDGE], label=["people", "judge"], rwidth=0.9)
    axis.set_xlabel("score", color=_INK)
    axis.set_ylabel("edits", color=_INK)
    axis.legend(frameon=False)
    _quiet(axis)
    return _png(figure)


def _points(report: AgreementReport) -> tuple[Floats, Floats, np.ndarray]:
    """Return human means, scores and tasks of the edits that have a score."""
    scored = [(e, s) for e, s in zip(report.edits, report.scores, strict=True) if math.isfinite(s.value)]
    x, y = np.array([e.mean for e, _ in scored]), np.array([s.value for _, s in scored])
    return x, y, np.array([e.task for e, _ in scored])


def _caption(group: Group) -> str:
    plcc = group.figures["plcc"]
    shown = "n/a" if math.isnan(plcc.value) else f"{plcc.value:.2f}"
    around = "" if math.isnan(plcc.low) else f" [{plcc.low:.2f}, {plcc.high:.2f}]"
    return f"PLCC {shown}{around}, n = {group.edits}"


def _panel(axis: Axes, x: Floats, y: Floats, title: str) -> None:
    axis.plot([0, 5], [0, 5], color=_GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    # Whole-number scores fall on one another: a seeded nudge shows how many there are.
    nudge = np.random.default_rng(0).uniform(-0.06, 0.06, (2, len(x)))
    axis.scatter(x + nudge[0], y + nudge[1], s=16, color=_JUDGE, alpha=0.45, linewidths=0, zorder=2)
    axis.set_title(title, fontsize=9, color=_INK)
    axis.set_xlim(-0.25, 5.25)
    axis.set_ylim(-0.25, 5.25)
    axis.set_xticks(range(6))
    axis.set_yticks(range(6))
    axis.set_aspect("equal")
    _quiet(axis)


def _quiet(axis: Axes) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(_GREY)
    axis.tick_params(colors=_INK, labelsize=8, length=3)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()
