"""A refinement's winner as a new version of its prompt: numbered, with its record, in a file of its own."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path

from hpedit.calibration.comparison import UNREFINED, Arm, Comparison
from hpedit.calibration.refine import Refinement
from hpedit.scorers.prompts import CalibrationRecord, ScoringPrompt, dump_prompt

RECORDED = ("plcc", "srcc", "mae", "qwk", "within_case")


def next_version(version: str) -> str:
    """Return the version that follows: "1" "2", "v1.9" "v1.10", "draft" "draft.2"."""
    number = re.search(r"\d+$", version)
    if number is None:
        return f"{version}.2"
    return version[: number.start()] + str(int(number.group()) + 1)


def new_version(refinement: Refinement, data: str, day: date) -> ScoringPrompt:
    """Return the winner under the next version, its provenance extended and its calibration record filled in.

    Args:
        refinement: what came of the search.
        data: name of the human ratings.
        day: of the calibration.
    """
    parts = vars(refinement.split)
    n = sum(map(len, parts.values()))
    start = refinement.start
    return replace(
        refinement.prompt,
        version=next_version(start.version),
        provenance=(
            f"{start.provenance} Checks of version {start.version} refined on {n} rated edits of {data}, "
            f"{day.isoformat()}, by {refinement.engine}."
        ),
        calibration=CalibrationRecord(
            data=data,
            date=day.isoformat(),
            n=n,
            splits={name: len(part) for name, part in parts.items()},
            engine=refinement.engine,
            before=_figures(refinement.report.arms[UNREFINED]),
            after={**_figures(refinement.report.final), **_gains(refinement.report)},
        ),
    )


def version_file(folder: str | Path, task: str) -> Path:
    """Return where the new version of a task's prompt will lie.

    Raises ValueError if something is there: a version is never overwritten.
    """
    file = Path(folder) / f"{task}.yaml"
    if file.exists():
        raise ValueError(f"out: {file} is there already; expected a folder without a prompt for {task}")
    return file


def write_version(prompt: ScoringPrompt, folder: str | Path) -> Path:
    """Write a prompt into ``folder`` and return its file. Raises ValueError if the file is there already."""
    file = version_file(folder, prompt.name)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("x", encoding="utf-8") as out:
        out.write(dump_prompt(prompt))
    return file


def _figures(arm: Arm) -> dict[str, float]:
    """Return the recorded figures of the report split with their intervals' ends, without those not defined."""
    named = {"closeness": arm.closeness.mean}
    for name in RECORDED:
        figure = arm.figures[name]
        named |= {name: figure.value, f"{name}_low": figure.low, f"{name}_high": figure.high}
    return {**_defined(named), "missing": float(arm.closeness.missing)}


def _gains(report: Comparison) -> dict[str, float]:
    named = {}
    for name, gain in (("gain", report.gain), ("gain_recalibrated", report.gain_recalibrated)):
        named |= {name: gain.value, f"{name}_low": gain.low, f"{name}_high": gain.high}
    return _defined(named)


def _defined(figures: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in figures.items() if math.isfinite(value)}
