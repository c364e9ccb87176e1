"""A refinement as a page of Markdown: what won, by what figures, and whether that is more than chance."""

from __future__ import annotations

from dataclasses import dataclass

from hpedit.calibration.comparison import Comparison
from hpedit.calibration.refine import Refinement
from hpedit.calibration.report import markdown_table
from hpedit.calibration.tables import TITLES, Table
from hpedit.scorers.prompts import ScoringPrompt

_SHOWN = ("plcc", "srcc", "qwk", "mae", "bias")


@dataclass(frozen=True)
class Decision:
    """Whether the winner is written as a new version of the prompt, and why, in words for the page."""

    writes: bool
    because: str


def decide(refinement: Refinement, write_unproven: bool) -> Decision:
    """Return what becomes of the winner: it is written where its improvement is shown, or on demand."""
    start = refinement.start
    if (refinement.prompt.checks, refinement.prompt.map) == (start.checks, start.map):
        others = len(refinement.candidates) - 1
        return Decision(
            False, f"Version {start.version} stays: it won against {others} other lists of checks."
        )
    if refinement.report.improved:
        return Decision(True, "It is written as a new version.")
    if write_unproven:
        return Decision(True, "It is written as a new version all the same, as --write_unproven asks.")
    return Decision(
        False, f"Version {start.version} stays; --write_unproven true would write the winner all the same."
    )


def summary(refinement: Refinement, version: ScoringPrompt, decision: Decision) -> str:
    """Return the page about ``refinement``, whose winner is ``version`` if it is written."""
    start, sizes = refinement.start, {name: len(part) for name, part in vars(refinement.split).items()}
    checks = [f"{i}. {check}" for i, check in enumerate(version.checks, start=1)] or ["none"]
    title = (
        f"version {start.version} to {version.version}"
        if decision.writes
        else f"still version {start.version}"
    )
    blocks = [
        f"# {version.name}: {title}",
        f"{verdict(refinement.report)} {decision.because}",
        f"By {refinement.engine}. Edits: "
        + ", ".join(f"{count} to {name}" for name, count in sizes.items())
        + f". {len(refinement.candidates)} candidates, {refinement.calls} scores asked for.",
        ("Checks now" if decision.writes else "The winner's checks") + ":\n\n" + "\n".join(checks),
        f"On the {sizes['report']} edits of the report split, with 95 % intervals:",
        markdown_table(_arms(refinement.report)),
    ]
    return "\n\n".join(blocks) + "\n"


def verdict(report: Comparison) -> str:
    """Return one paragraph: an improvement, or none that can be shown."""
    gains = (
        f"closeness to people's scores changes by {report.gain}, and by {report.gain_recalibrated} once both prompts "
        "have an affine map of their own"
    )
    if report.improved:
        return f"Improved: {gains}."
    return f"No improvement shown: {gains}. Both intervals would have to lie above 0."


def _arms(report: Comparison) -> Table:
    rows = [
        (name, f"{arm.closeness.mean:.3f}", *(arm.figures[f] for f in _SHOWN), arm.closeness.missing)
        for name, arm in report.arms.items()
    ]
    head = ("prompt", "closeness", *(TITLES[name] for name in _SHOWN), "missing")
    return Table("Report split", head, rows, "Closeness is the mean of 1 - |score - people's mean| / 5.")
