"""Ratings from a CSV file: case_id, cand_id, rater, value, and if wanted dim, ms and ts."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from hpedit.calibration.importers.attach import Loose, number

_WANTED = ("case_id", "rater", "value")


def ratings_in_csv(path: str | Path, dim: str = "overall") -> Iterator[Loose]:
    """Yield the ratings of a CSV file with a header line; ``dim`` where a row names no dimension.

    cand_id may be left out where cases have one edit each. Raises ValueError that names a column that is missing.
    """
    with Path(path).open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        if missing := [name for name in _WANTED if name not in (rows.fieldnames or ())]:
            got = ", ".join(rows.fieldnames or ()) or "an empty file"
            raise ValueError(f"{path}: expected a column {' and '.join(missing)}, got {got}")
        for row in rows:
            yield Loose(
                record=f"{Path(path).name}:{rows.line_num}",
                case_id=(row["case_id"] or "").strip(),
                cand_id=(row.get("cand_id") or "").strip(),
                rater=(row["rater"] or "").strip(),
                dim=(row.get("dim") or "").strip() or dim,
                value=row["value"],
                ts=_known(row.get("ts")),
                ms=None if (ms := _known(row.get("ms"))) is None else round(ms),
            )


def _known(value: str | None) -> float | None:
    found = number(value)
    return found if abs(found) < float("inf") else None
