"""``python -m hpedit inspect``: what a data set holds, what is wrong with it, and how it looks."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from hpedit.cases import Case
from hpedit.inspecting.report import as_json, text
from hpedit.inspecting.sheet import Lots, draw
from hpedit.inspecting.source import Record, records
from hpedit.inspecting.survey import Survey, Surveyor


def inspect(
    data: str,
    sheet: str | None = "contact_sheet.png",
    cases: int = 12,
    out: str | None = None,
    limit: int | None = None,
    decode: bool = True,
    strict: bool = False,
    seed: int = 0,
) -> None:
    """Look through a data set: counts, problems, and a contact sheet.

      python -m hpedit inspect cases.parquet
      python -m hpedit inspect photos --strict true      # exit code 1 on a problem
      python -m hpedit inspect owner/name --limit 500    # nothing else downloaded

    Prints cases by task (with the best candidate's mean score), category, aspect ratio and score; sizes, languages,
    candidates, ratings, how many cases give a preference pair; and the problems: records that are no case, unknown
    tasks, empty or oddly labelled instructions, pictures that are missing or damaged, equal ids, equal (picture,
    instruction), edits that are the source itself, scores of candidates that are not there. Training sets such
    records aside too, where it cannot use them; here all kinds are named.

    Reads the data once, record by record; memory grows by a few hundred bytes a record, to know duplicates.

    Args:
        data: Parquet, a glob or folder of it, a folder of pictures with a metadata.jsonl or metadata.csv, or
            "owner/name[:split]" on the hub.
        sheet: PNG to draw a few cases on: source, first scored candidate (or target), instruction, score; null draws
            none.
        cases: cases on the sheet, the tasks alike.
        out: JSON file for all counts, and for up to 20 examples of each kind of problem.
        limit: look at that many records, from the first.
        decode: decode every picture; false looks at their headers only, which is faster and misses torn ones.
        strict: end with exit code 1 where there is a problem.
        seed: which cases are drawn for the sheet.
    """
    if cases < 1 or (limit is not None and limit < 1):
        raise ValueError(f"--cases, --limit: expected at least 1, got {cases} and {limit}")
    if sheet is not None and Path(sheet).suffix.lower() != ".png":
        raise ValueError(f"--sheet: expected a name that ends with .png, or null, got {sheet!r}")
    lots = Lots(cases, seed)
    survey = look(islice(records(data, "data"), limit), Surveyor(decode), lots if sheet else None)
    if not survey.records:
        raise ValueError(f"data={data}: the data set is empty")
    print(text(survey))
    if out is not None:
        _write(out, json.dumps(as_json(survey), indent=2, ensure_ascii=False).encode())
    if sheet is not None:
        _draw(sheet, lots, cases)
    if strict and survey.problems:
        sys.exit(1)


COMMAND = inspect


def look(found: Iterable[Record], surveyor: Surveyor, lots: Lots | None) -> Survey:
    """Add records to a survey, and the cases among them to the draw."""
    for record in tqdm(found, unit=" records", disable=None, leave=False):
        surveyor.add(record)
        if lots is not None and isinstance(record.case, Case):
            lots.add(record.case)
    return surveyor.survey


def _draw(sheet: str, lots: Lots, count: int) -> None:
    triplets = lots.triplets(count)
    if not triplets:
        print(f"\nno case whose pictures can be read to draw on {sheet}")
        return
    file = Path(sheet).expanduser()
    file.parent.mkdir(parents=True, exist_ok=True)
    draw(triplets).save(file)
    print(f"\n{file} ({len(triplets)} cases)")


def _write(out: str, content: bytes) -> None:
    file = Path(out).expanduser()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    print(f"\n{file}")
