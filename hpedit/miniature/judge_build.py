"""Rebuilding the shipped judge: rated edits, training, and how well it agrees with the exact rating."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from hpedit.calibration.metrics import figures
from hpedit.cases import Case
from hpedit.images import from_pil
from hpedit.miniature.examples import HELD_OUT
from hpedit.miniature.judge import MiniatureJudge, judge_folder
from hpedit.miniature.judge_data import Hand, edited_cases, flawed_cases, nearly_right_edit, numbers
from hpedit.miniature.judge_model import PROMPTS, write_untrained_judge
from hpedit.miniature.judge_pretrain import pretrain
from hpedit.records import write_cases
from hpedit.scorers.base import Scorer, ScoreRequest
from hpedit.tasks import TASKS

# First examples of each kind, apart from those that the editor and its post-training learn from.
EDITED, FLAWED, MISSED = 300_000_000, 400_000_000, 500_000_000
VALIDATED, REPORTED = HELD_OUT + 1_000, HELD_OUT + 2_000
PER_CASE = 3
LESSONS, STEPS = 7500, 300
# How far towards post-trained the editors are that the judge learns from.
SHARES = (0.0, 0.3, 0.6, 1.0, 1.0)
_SHOWN = ("plcc", "srcc", "within_case", "pairwise_1", "mae", "bias")


def judge(
    adapters: list[str],
    folder: str | None = None,
    work: str = "runs/miniature_judge",
    flawed: int = 9600,
    missed: int = 16000,
    edited: int = 8640,
    validated: int = 192,
    lessons: int = LESSONS,
    steps: int = STEPS,
    compiled: bool = False,
    seed: int = 0,
) -> None:
    """Rebuild the miniature's judge: its first lessons, then ``train.py fit`` (an hour or more on one core).

    Args:
        adapters: Post-trained adapters of the miniature editor, folders that callbacks.export.AdapterExport wrote,
            whose edits the judge learns from; [] leaves it with those of the base editor.
        folder: Where to write the judge; null takes the place of the shipped one.
        work: Where the stages are kept. Delete a stage there to have it made anew.
        flawed: Training cases with synthetic flaws, three edits each.
        missed: Training cases with near misses, three each.
        edited: Training cases with edits of the editors, three each.
        validated: Held-out cases with synthetic flaws, on which ScorerModule is validated.
        lessons: Steps of the first lessons (hpedit.miniature.judge_pretrain).
        steps: Steps of ScorerModule, which ends the training.
        compiled: Compile the judge for its first lessons: it takes a C++ compiler, and half the time.
        seed: Seed of everything.
    """
    place = Path(work)
    untrained, schooled = place / "untrained", place / "schooled"
    train, held_out = place / "train", place / "held_out"
    if not untrained.exists():
        write_untrained_judge(untrained, seed=seed)
    parts: dict[Path, Iterator[Case]] = {  # drawn when written
        train / "flaws.parquet": flawed_cases(range(FLAWED, FLAWED + flawed), PER_CASE, seed),
        train / "near_misses.parquet": flawed_cases(
            numbers(MISSED, missed), PER_CASE, seed, nearly_right_edit
        ),
        train / "edits.parquet": _training_edits(adapters, edited, seed),
        held_out / "flaws.parquet": flawed_cases(range(VALIDATED, VALIDATED + validated), PER_CASE, seed),
    }
    for path, cases in parts.items():
        if not path.exists():
            write_cases(path, cases)
    if not schooled.exists():
        pretrain(untrained, train, schooled, lessons, compiled=compiled)
    _fit(place, steps, seed)
    trained = max((place / "judge").glob("version_*/vlm"), key=lambda p: p.stat().st_mtime)
    export_judge(trained, Path(folder) if folder else judge_folder())


def _training_edits(adapters: list[str], number: int, seed: int) -> Iterator[Case]:
    hands: list[str | None] = [*adapters] or [None]
    each = -(-number // len(hands))
    for i, adapter in enumerate(hands):
        shares = (0.0,) if adapter is None else SHARES
        yield from edited_cases(
            Hand(adapter),
            numbers(EDITED + i * 2 * each, each),
            PER_CASE,
            shares,
            noisy=True,
            seed=seed,
        )


def _fit(place: Path, steps: int, seed: int) -> None:
    settings = {
        "config": "miniature_judge.yaml",
        "seed_everything": seed,
        "trainer.max_steps": steps,
        "trainer.val_check_interval": steps,
        "model.lr_scheduler.init_args.total_steps": steps,
        "model.model": place / "schooled",
        "model.prompts": json.dumps({"overall": str(PROMPTS)}),
        "data.data": place / "train",
        "data.val_data": place / "held_out",
        "run.dir": place,
        "run.name": "judge",
    }
    train = Path(__file__).resolve().parents[2] / "train.py"
    flags = [f"--{name}={value}" for name, value in settings.items()]
    subprocess.run([sys.executable, str(train), "fit", *flags], check=True)


def export_judge(trained: Path, folder: Path) -> None:
    """Put the trained judge in its place."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(trained, folder)
    print(f"judge written to {folder}")


def judge_report(adapters: list[str], model: str | None = None, cases: int = 256, seed: int = 1) -> None:
    """Print how well the judge agrees with the exact rating on held-out scenes, by source of the edits and by task.

    Args:
        adapters: Post-trained adapters of the miniature editor that the judge did not learn from.
        model: Folder of another judge; the shipped one by default.
        cases: Held-out cases of each source, with three edits each.
        seed: Seed of flaws and noise.
    """
    scorer = MiniatureJudge(model)
    scorer.check()
    drawn = range(REPORTED, REPORTED + cases)
    print_report(scorer, "synthetic flaws", flawed_cases(drawn, PER_CASE, seed))
    for name, adapter in [("base editor", None), *((f"post-trained: {a}", a) for a in adapters)]:
        shares = (0.0,) if adapter is None else (1.0,)
        edits = edited_cases(Hand(adapter), drawn, PER_CASE, shares, noisy=False, seed=seed)
        print_report(scorer, name, edits)


def print_report(scorer: Scorer, name: str, cases: Iterable[Case]) -> None:
    """Score rated cases and print a Markdown table: a row for all of them, and one a task."""
    requests, human = zip(*chain.from_iterable(map(rated_requests, cases)), strict=True)
    predicted = [score.value for score in scorer.score(requests)]
    print(
        f"\n{name}\n\n| edits of | n | mean | judged | {' | '.join(_SHOWN)} |\n|{'---|' * (4 + len(_SHOWN))}"
    )
    for task in ("all", *TASKS):
        rows = [i for i, request in enumerate(requests) if task in ("all", request.task)]
        x, y = [predicted[i] for i in rows], [human[i] for i in rows]
        found = figures(x, y, [requests[i].case_id for i in rows])
        listed = " | ".join(f"{found[key]:.3f}" for key in _SHOWN)
        print(f"| {task} | {len(rows)} | {sum(y) / len(y):.2f} | {sum(x) / len(x):.2f} | {listed} |")


def rated_requests(case: Case) -> Iterator[tuple[ScoreRequest, float]]:
    """Yield each edit of a rated case as a request without target, and its exact rating."""
    source = from_pil(case.source.decode())
    rating = {h.cand_id: h.value for h in case.humans if h.dim == "overall"}
    for c in case.candidates:
        edit = from_pil(c.image.decode())
        yield (
            ScoreRequest(case.case_id, case.task, case.instruction, "", (source,), edit),
            rating[c.cand_id],
        )
