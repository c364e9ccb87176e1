"""What ``python -m hpedit calibrate refine`` does: its signature is the command line."""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from pathlib import Path

from hpedit.calibration.asking import Asked, ScorerOf, prompted
from hpedit.calibration.engine import Engine
from hpedit.calibration.forward_selection import ForwardSelection
from hpedit.calibration.maps import MapKind
from hpedit.calibration.quarantine import Quarantine
from hpedit.calibration.ratings import RatedEdit, rated_edits, sound_cases
from hpedit.calibration.refine import Refinement
from hpedit.calibration.refine import refine as refine_task
from hpedit.calibration.summary import decide, summary
from hpedit.calibration.versions import new_version, version_file, write_version
from hpedit.locks import alone
from hpedit.records import read_cases
from hpedit.scorers.base import Scorer
from hpedit.scorers.cache import CachedScorer
from hpedit.scorers.hp_scorer import HPScorer
from hpedit.scorers.prompts import BASE
from hpedit.scoring.judges import Judges
from hpedit.tasks import canonical_task

# A quarter of fewer cases than this is too few to report on.
LEAST_CASES = 12


def refine(
    data: str,
    out: str,
    engine: Engine | None = None,
    reward: Judges = Judges(),
    tasks: list[str] | None = None,
    dim: str = "overall",
    budget: int = 5000,
    score_map: MapKind | None = None,
    write_unproven: bool = False,
    seed: int = 0,
) -> None:
    """Rewrite the checks of scoring prompts until the scorer agrees with people, as new versions of the prompts.

    The rated cases of a task are split in three: the engine works on a half, a quarter chooses among what it found, and
    the figures are taken on the last quarter, which nothing was fitted on. There the winner must be closer to people
    than the old prompt, by an interval above 0; otherwise the prompt stays as it is.

      python -m hpedit calibrate refine rated.parquet v2 --config scorer/vllm.yaml
      python -m hpedit calibrate refine rated.parquet v2 --config scorer/vllm.yaml \\
        --engine hpedit.calibration.gepa_engine.GepaEngine \\
        --engine.reflector hpedit.calibration.reflector.ChatReflector \\
        --engine.reflector.base_url http://127.0.0.1:8000/v1 \\
        --engine.reflector.model my-vlm

    OUT gets, for each task, a page of Markdown with the figures, the checks and the verdict, and a prompt file where
    the improvement is shown. Then score and train by the new prompts: --reward.scorers.prompts v2.

    Args:
        data: cases with human ratings: Parquet, a glob or folder of it, or a folder with metadata.jsonl.
        out: folder for a prompt file and a page of Markdown a task; a prompt that is there is never overwritten.
        engine: what proposes checks; forward selection over the project's bank of checks by default, which needs no
            language model.
        reward: the HP-Scorer that is asked, as in train.py; its prompts are refined.
        tasks: refine these only; every task with 12 rated cases or more by default.
        dim: dimension of the human ratings.
        budget: scores that the engine may ask for, a task; choosing and reporting come on top.
        score_map: kind of map from the scorer's scale to people's to fit on top and store with the version.
        write_unproven: write the winner as a new version even where no improvement is shown.
        seed: of the splits.
    """
    members = reward.members()
    if len(members) != 1:
        raise ValueError(f"--reward.scorers: expected one scorer, got {len(members)}")
    judge, scorer_of = _judge(members[0].scorer)
    by_task = _by_task(data, dim, tasks)
    for task in by_task:
        version_file(out, task)  # told now rather than after hours
    judge.check()
    chosen = engine or ForwardSelection()
    written: list[str] = []
    with alone(Path(out) / ".lock", f"out: another process is refining into {out}; name another folder"):
        for task, edits in by_task.items():
            asked = Asked(scorer_of, reward.batch_size, reward.max_in_flight)
            prompts = judge.prompts[task], judge.prompts[BASE]
            found = refine_task(edits, asked, *prompts, chosen, budget, score_map, seed=seed)
            if _deliver(found, Path(out), Path(data).name, write_unproven):
                written.append(task)
    stay = [task for task in by_task if task not in written]
    print(f"\nnew versions in {out}: {', '.join(written) or 'none'}")
    if stay:
        print(f"prompts that stay as they are: {', '.join(stay)}")


def _deliver(found: Refinement, out: Path, data: str, write_unproven: bool) -> bool:
    """Write the page about a refinement, and its winner where that is called for; return whether it was."""
    decision = decide(found, write_unproven)
    version = new_version(found, data, date.today())
    if decision.writes:
        write_version(version, out)
    page = summary(found, version, decision)
    file = out / f"{version.name}.md"
    file.write_text(page, encoding="utf-8")
    print(f"\n{page}\n{file}")
    return decision.writes


def _judge(scorer: Scorer) -> tuple[HPScorer, ScorerOf]:
    """Return the HP-Scorer, and what asks it by another prompt, through its cache if it has one."""
    cache = scorer.path if isinstance(scorer, CachedScorer) else None
    judge = scorer.scorer if isinstance(scorer, CachedScorer) else scorer
    if not isinstance(judge, HPScorer):
        raise ValueError(
            f"--reward.scorers: expected an HPScorer, whose prompts can be refined, got {type(judge).__name__}"
        )
    if cache is None:
        return judge, prompted(judge)
    return judge, lambda prompt: CachedScorer(prompted(judge)(prompt), cache)


def _by_task(data: str, dim: str, tasks: list[str] | None) -> dict[str, list[RatedEdit]]:
    """Return the rated edits of each task that is to be refined."""
    bad = Quarantine()
    by_task: dict[str, list[RatedEdit]] = defaultdict(list)
    for edit in rated_edits(sound_cases(read_cases(data, "data"), bad), dim, bad):
        by_task[edit.task].append(edit)
    bad.tell("set apart")
    wanted = [canonical_task(task, "--tasks") for task in tasks] if tasks is not None else sorted(by_task)
    cases = {task: len({edit.case.case_id for edit in by_task[task]}) for task in wanted}
    few = {task: count for task, count in cases.items() if count < LEAST_CASES}
    told = ", ".join(f"{task} has {count}" for task, count in few.items())
    if few and (tasks is not None or len(few) == len(cases)):
        raise ValueError(f"data: expected at least {LEAST_CASES} rated cases a task; {told}")
    if few:
        print(f"left as they are, for want of {LEAST_CASES} rated cases: {told}")
    return {task: by_task[task] for task in wanted if task not in few}
