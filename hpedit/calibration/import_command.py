"""What ``python -m hpedit calibrate import`` does: its signature is the command line."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from hpedit.calibration.importers.attach import attach
from hpedit.calibration.importers.edithf import edithf_cases
from hpedit.calibration.importers.editreward import editreward_cases
from hpedit.calibration.importers.label_studio import ratings_in_label_studio
from hpedit.calibration.importers.table import ratings_in_csv
from hpedit.calibration.quarantine import Quarantine
from hpedit.calibration.ratings import rated_edits, sound_cases
from hpedit.cases import Case
from hpedit.records import read_cases, write_cases

Format = Literal["label_studio", "csv", "edithf", "editreward"]


def import_ratings(
    file: str,
    format: Format,
    out: str = "rated.parquet",
    data: str | None = None,
    task: str | None = None,
    dim: str = "overall",
    control: str | None = None,
) -> None:
    """Bring human ratings of another format into the project's schema.

    label_studio and csv name edits of a case file, which has the pictures:

      python -m hpedit calibrate import all.json label_studio --data cases.parquet
      python -m hpedit calibrate import ratings.csv csv --data cases.parquet

    edithf and editreward bring their own pictures, but no task of ours:

      python -m hpedit calibrate import 'edithf/*.jsonl' edithf --task color_change

    OUT is what agreement and refine read. Rows that cannot be used are set apart, counted and named.

    Args:
        file: label_studio: the JSON export. csv: columns case_id, cand_id, rater, value, and if wanted dim, ms and ts.
            edithf: JSON lines, or a glob of them, one a dimension. editreward: Parquet, or the data set on the hub.
        format: label_studio, csv, edithf (opinion scores 0-100) or editreward (overall 2-8, its parts 1-4).
        out: the Parquet to write: the cases that have ratings.
        data: the cases that label_studio and csv speak of.
        task: the editing task of edithf and editreward rows that name none.
        dim: dimension of ratings that name none.
        control: label_studio: take this control only, as --dim.
    """
    if (data is None) == (format in ("label_studio", "csv")):
        wanted = (
            "the case file that the ratings speak of"
            if data is None
            else f"none: {format} brings its own cases"
        )
        raise ValueError(f"--data: expected {wanted}, got {data}")
    bad = Quarantine()
    cases = list(_imported(file, format, data, task, dim, control, bad))
    bad.tell("rows set apart")
    if not cases:
        raise ValueError(f"file: no rating of {file} could be used")
    rated_edits(cases, cases[0].humans[0].dim, bad)  # what would be refused later is told now
    write_cases(out, cases)
    ratings = sum(len(case.humans) for case in cases)
    dims = sorted({rating.dim for case in cases for rating in case.humans})
    print(f"{ratings} ratings ({', '.join(dims)}) of {len(cases)} cases in {out}")


def _imported(
    file: str,
    format: Format,
    data: str | None,
    task: str | None,
    dim: str,
    control: str | None,
    bad: Quarantine,
) -> Iterator[Case]:
    if format == "editreward":
        return editreward_cases(file, bad, task)
    files = sorted(glob.glob(str(Path(file).expanduser())))
    if not files:
        raise ValueError(f"file: found nothing at {file}")
    if format == "edithf":
        return edithf_cases(files, bad, task)
    if len(files) > 1:
        raise ValueError(f"file: expected one {format} file, got {len(files)}")
    assert data is not None
    cases = sound_cases(read_cases(data, "data"), bad)
    if format == "csv":
        return attach(cases, ratings_in_csv(files[0], dim), bad)
    return attach(cases, ratings_in_label_studio(files[0], bad, control, dim), bad)
