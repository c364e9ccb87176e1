"""What ``python -m hpedit calibrate`` does: signatures are the command line."""

from __future__ import annotations

import glob
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from hpedit.calibration import drift as drifting
from hpedit.calibration.agreement import AgreementReport
from hpedit.calibration.agreement import agreement as agree
from hpedit.calibration.importers.attach import attach
from hpedit.calibration.importers.edithf import edithf_cases
from hpedit.calibration.importers.editreward import editreward_cases
from hpedit.calibration.importers.label_studio import ratings_in_label_studio
from hpedit.calibration.importers.table import ratings_in_csv
from hpedit.calibration.judges import MAX_PIXELS, Judge, ask, stored_judges, stored_scores
from hpedit.calibration.quarantine import Quarantine
from hpedit.calibration.ratings import Edit, RatedEdit, edits_of, rated_edits, sound_cases
from hpedit.calibration.report import markdown_table, write_report
from hpedit.calibration.tables import comparison, tables
from hpedit.cases import Case
from hpedit.records import read_cases, write_cases
from hpedit.scorers.base import Score
from hpedit.scorers.pool import WeightedScorer
from hpedit.scoring.judges import Judges

Format = Literal["label_studio", "csv", "edithf", "editreward"]


def agreement(
    data: str,
    out: str = "agreement",
    dim: str = "overall",
    judge: str | None = None,
    reward: Judges = Judges(),
    max_pixels: int = MAX_PIXELS,
    resamples: int = 1000,
    gallery: int = 12,
    seed: int = 0,
) -> None:
    """Report how well scorers agree with people, as HTML, Markdown and JSON.

    By default every judge whose scores lie in the data is reported. A scorer given as in train.py is asked now:

      python -m hpedit calibrate agreement rated.parquet --out report
      python -m hpedit calibrate agreement rated.parquet --out report --config scorer/vllm.yaml

    Args:
        data: cases with human ratings: Parquet, a glob or folder of it, or a folder with metadata.jsonl.
        out: folder for the report.
        dim: dimension of the human ratings.
        judge: report only stored judges whose name holds this text, such as a model or "prompt 2".
        reward: who is asked now, as in train.py.
        max_pixels: larger pictures are made smaller before they are judged; as in python -m hpedit score.
        resamples: bootstrap resamples behind each 95 % interval.
        gallery: how many of the largest disagreements the HTML shows of each judge.
        seed: of the bootstrap.
    """
    if resamples < 0 or gallery < 0:
        raise ValueError(f"--resamples and --gallery: expected 0 or more, got {resamples} and {gallery}")
    bad = Quarantine()
    edits = rated_edits(sound_cases(read_cases(data, "data"), bad), dim, bad)
    _tell(bad, "set apart")
    raters = {rater for edit in edits for rater in edit.raters}
    cases = {edit.case.case_id for edit in edits}
    lead = f"{len(edits)} edits of {len(cases)} cases, rated by {len(raters)} people ({dim})"
    print(lead)
    reports = [
        agree(edits, s, name, resamples, seed) for name, s in _judged(edits, judge, reward, max_pixels, data)
    ]
    files = write_report(reports, out, lead, gallery)
    _print_report(reports)
    print(f"\n{files[0]}")


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

      python -m hpedit calibrate import export.json label_studio --data cases.parquet
      python -m hpedit calibrate import ratings.csv csv --data cases.parquet

    edithf and editreward bring their own pictures, but no task of ours:

      python -m hpedit calibrate import 'edithf/*.jsonl' edithf --task color_change

    Rows that cannot be used are set apart, counted and named.

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
    _tell(bad, "rows set apart")
    if not cases:
        raise ValueError(f"file: no rating of {file} could be used")
    rated_edits(cases, cases[0].humans[0].dim, bad)  # what would be refused later is told now
    write_cases(out, cases)
    ratings = sum(len(case.humans) for case in cases)
    dims = sorted({rating.dim for case in cases for rating in case.humans})
    print(f"{ratings} ratings ({', '.join(dims)}) of {len(cases)} cases in {out}")


def drift(
    data: str,
    out: str | None = None,
    judge: str | None = None,
    reward: Judges = Judges(),
    max_pixels: int = MAX_PIXELS,
    limits: drifting.Limits = drifting.Limits(),
) -> None:
    """Score a frozen anchor set again and report how far the scores have moved.

    The anchor set is any scored data set that is kept, such as the output of python -m hpedit score.
    Exits with 1 where a limit is passed, so that a pipeline stops before it compares what does not compare.

      python -m hpedit calibrate drift anchor.parquet --config scorer/vllm.yaml

    Args:
        data: cases with candidates and stored scores; human ratings are not needed.
        out: JSON file for the report.
        judge: which stored judge is meant, by a part of its name, where there are several.
        reward: the scorer that is asked now, as in train.py.
        max_pixels: larger pictures are made smaller before they are judged; as in python -m hpedit score.
        limits: what counts as drift.
    """
    bad = Quarantine()
    edits = list(edits_of(sound_cases(read_cases(data, "data"), bad), bad))
    _tell(bad, "set apart")
    found = _matching(edits, judge, data)
    if len(found) != 1:
        names = "; ".join(map(str, found))
        raise ValueError(f"--judge: expected part of the name of one of the judges {names}, got {judge}")
    members = reward.members()
    if len(members) != 1:
        raise ValueError(f"--reward.scorers: expected one scorer, got {len(members)}")
    old = stored_scores(edits, found[0])
    scored = [i for i, score in enumerate(old) if score.failure is None]
    anchor = [edits[i] for i in scored]
    new = _asked(anchor, members[0], reward, max_pixels)
    result = drifting.drift(anchor, [old[i] for i in scored], new, str(found[0]), limits)
    print(drifting.text(result))
    if out is not None:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        Path(out).write_text(json.dumps(drifting.as_json(result), indent=2) + "\n", encoding="utf-8")
    if not result.steady:
        sys.exit(1)


def _judged(
    edits: Sequence[RatedEdit], judge: str | None, reward: Judges, max_pixels: int, data: str
) -> Iterator[tuple[str, list[Score]]]:
    """Yield the name and scores of each judge: who is asked now, or else who is in the data."""
    if reward.scorers is not None:
        for member in reward.members():
            yield member.name, _asked(edits, member, reward, max_pixels)
        return
    for found in _matching(edits, judge, data):
        yield str(found), stored_scores(edits, found)


def _matching(edits: Sequence[Edit], judge: str | None, data: str) -> list[Judge]:
    every = stored_judges(edits)
    if not every:
        raise ValueError(
            f"data: {data} holds no scores; score it first (python -m hpedit score), or name a scorer to ask, "
            "such as --config scorer/vllm.yaml"
        )
    found = [one for one in every if judge is None or judge.lower() in str(one).lower()]
    if not found:
        raise ValueError(f"--judge: expected part of one of {'; '.join(map(str, every))}, got {judge!r}")
    return found


def _asked(edits: Sequence[Edit], member: WeightedScorer, reward: Judges, max_pixels: int) -> list[Score]:
    if max_pixels < 1:
        raise ValueError(f"--max_pixels: expected at least 1, got {max_pixels}")
    try:
        member.scorer.check()
    except (ConnectionError, ValueError) as error:
        raise type(error)(f"--reward.scorers: {member.name} cannot score: {error}") from error
    answers = ask(edits, member.scorer, reward.batch_size, reward.max_in_flight, max_pixels)
    scores = list(tqdm(answers, total=len(edits), desc=member.name, unit="edit"))
    failures = Counter(score.failure for score in scores if score.failure)
    if failures.total() > reward.max_failed_share * len(scores):
        reasons = "; ".join(f"{count} x {reason}" for reason, count in failures.most_common(3))
        raise ValueError(
            f"--reward.max_failed_share: expected at most {reward.max_failed_share:g} of {member.name}'s "
            f"{len(scores)} answers to fail, got {failures.total()}: {reasons}"
        )
    return scores


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


def _tell(bad: Quarantine, what: str) -> None:
    if bad:
        print(f"{len(bad)} {what}:")
        for line in bad.lines():
            print(f"  {line}")


def _print_report(reports: Sequence[AgreementReport]) -> None:
    if len(reports) > 1:
        print("\n" + markdown_table(comparison(reports)))
    for report in reports:
        print(f"\n{report.judge}\n\n{markdown_table(tables(report)[0])}")
