"""What ``python -m hpedit calibrate agreement`` and ``drift`` do: signatures are the command line."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from hpedit.calibration import drift as drifting
from hpedit.calibration.agreement import AgreementReport
from hpedit.calibration.agreement import agreement as agree
from hpedit.calibration.judges import MAX_PIXELS, Judge, ask, stored_judges, stored_scores
from hpedit.calibration.quarantine import Quarantine
from hpedit.calibration.ratings import Edit, RatedEdit, edits_of, rated_edits, sound_cases
from hpedit.calibration.report import markdown_table, write_report
from hpedit.calibration.tables import comparison, tables
from hpedit.records import read_cases
from hpedit.scorers.base import Score
from hpedit.scorers.pool import WeightedScorer, expect_working
from hpedit.scoring.judges import Judges


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

    By default every judge whose scores lie in the data is reported. A scorer given as in train.py is asked now.

      python -m hpedit calibrate agreement rated.parquet --out report
      python -m hpedit calibrate agreement rated.parquet --config scorer/vllm.yaml

    Prints the figures by task, and leaves in OUT agreement.html (scatter plots, the largest disagreements),
    agreement.md and agreement.json. docs/calibration.md says what the figures mean.

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
    bad.tell("set apart")
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

    Prints the shift overall and by task beside its limits; OUT gets the same as JSON.

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
    bad.tell("set apart")
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
    expect_working([member])
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


def _print_report(reports: Sequence[AgreementReport]) -> None:
    if len(reports) > 1:
        print("\n" + markdown_table(comparison(reports)))
    for report in reports:
        print(f"\n{report.judge}\n\n{markdown_table(tables(report)[0])}")
