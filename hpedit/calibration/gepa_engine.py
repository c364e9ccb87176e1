"""Refinement by a language model that reflects on disagreements: the ``gepa`` package behind a thin adapter.

Needs the extra ``hpedit[calibrate]``.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import gepa
from gepa.core.adapter import EvaluationBatch, ProposalFn
from gepa.image import Image
from lightning.pytorch.utilities import rank_zero_info

from hpedit.calibration.closeness import Checks, item_closeness
from hpedit.calibration.engine import BudgetedJudge
from hpedit.calibration.ratings import RatedEdit
from hpedit.calibration.reflection import (
    TEMPLATE,
    by_disagreement,
    checks_text,
    feedback,
    parse_checks,
    side_by_side,
)
from hpedit.scorers.base import Score

_log = logging.getLogger(__name__)
Reflector = Callable[[str | list[dict[str, Any]]], str]
Scored = tuple[RatedEdit, Score]


class GepaEngine:
    """Lets a chat model rewrite the checks where judge and people differ; keeps what helps on any of the edits."""

    def __init__(
        self,
        reflector: Reflector,
        run_dir: str | None = None,
        minibatch: int = 6,
        max_checks: int = 12,
        keep: int = 8,
        pictures: bool = True,
        seed: int = 0,
    ) -> None:
        """
        Args:
            reflector: writes the lists; ChatReflector, or any callable from a prompt to a reply.
            run_dir: folder in which a run that was stopped goes on, none by default. gepa keeps its state there as a
                pickle, which runs code when read: give a folder of your own.
            minibatch: edits shown to the reflector at a time.
            max_checks: longest list; what a reflector writes beyond it is cut.
            keep: lists that are proposed in the end, the best on the optimisation split.
            pictures: show the pictures too; False for a reflector that reads text only.
            seed: of gepa's draws.
        """
        if min(minibatch, max_checks, keep) < 1:
            raise ValueError(
                f"minibatch, max_checks and keep: expected at least 1, got {minibatch}, {max_checks} and {keep}"
            )
        self.reflector = reflector
        self.run_dir = run_dir
        self.minibatch = minibatch
        self.max_checks = max_checks
        self.keep = keep
        self.pictures = pictures
        self.seed = seed

    @property
    def description(self) -> str:
        model = getattr(self.reflector, "model", None) or "a callable"
        return f"gepa with {model} as reflector, at most {self.max_checks} checks, seed {self.seed}"

    def propose(
        self, task: str, start: Checks, edits: Sequence[RatedEdit], judge: BudgetedJudge
    ) -> Iterator[Checks]:
        """Yield the best lists found, the best first."""
        key = f"{task}/checks"
        minibatch = min(self.minibatch, len(edits))
        # A round scores a minibatch by parent and child and, if the child is better, all edits by the child.
        round_cost = 2 * minibatch + len(edits)
        progress = _Progress(task, judge)
        reflection = _Reflection(self.reflector)
        result = gepa.optimize(
            seed_candidate={key: checks_text(start)},
            trainset=list(edits),
            valset=list(edits),
            adapter=ChecksAdapter(key, judge, self.max_checks, self.pictures),
            reflection_lm=reflection,
            reflection_prompt_template=TEMPLATE.format(most=self.max_checks),
            reflection_minibatch_size=minibatch,
            max_metric_calls=judge.left,
            stop_callbacks=[lambda gepa_state: judge.left < round_cost or reflection.failure is not None],
            run_dir=self._folder(task, start, edits),
            logger=progress,
            callbacks=[progress],  # type: ignore[list-item]  # gepa asks a listener only for what it has
            track_best_outputs=False,
            seed=self.seed,
        )
        if reflection.failure is not None:
            raise reflection.failure
        ranked = sorted(range(result.num_candidates), key=lambda i: -result.val_aggregate_scores[i])
        for i in ranked[: self.keep]:
            yield parse_checks(result.candidates[i][key], self.max_checks)

    def _folder(self, task: str, start: Checks, edits: Sequence[RatedEdit]) -> str | None:
        """Return the run's own folder: another prompt or other ratings must not go on with its state."""
        if self.run_dir is None:
            return None
        facts = repr((start, [(edit.name, edit.ratings) for edit in edits], self.seed))
        digest = hashlib.blake2b(facts.encode(), digest_size=6).hexdigest()
        return str(Path(self.run_dir) / f"{task}-{digest}")


class ChecksAdapter:
    """What gepa asks of the system it improves: here a judge of which only the list of checks can be rewritten."""

    propose_new_texts: ProposalFn | None = None  # gepa's own, through the reflector

    def __init__(self, key: str, judge: BudgetedJudge, max_checks: int, pictures: bool) -> None:
        """
        Args:
            key: of the list in a candidate.
            judge: scores edits under a list.
            max_checks: longest list.
            pictures: whether the reflector sees them.
        """
        self._key = key
        self._judge = judge
        self._max_checks = max_checks
        self._pictures = pictures

    def evaluate(
        self, batch: list[RatedEdit], candidate: dict[str, str], capture_traces: bool = False
    ) -> EvaluationBatch[Scored, float]:
        """Return each edit's closeness to people's score, which adds up as gepa wants it.

        An edit without a score counts as the mean of the others, so that it moves nothing.
        Raises ValueError where there are no others.
        """
        scores = self._judge(parse_checks(candidate[self._key], self._max_checks), batch)
        items = [item_closeness(score.value, edit.mean) for edit, score in zip(batch, scores, strict=True)]
        had = [item for item in items if not math.isnan(item)]
        if not had:
            raise ValueError(f"scorer: none of {len(batch)} edits could be scored: {scores[0].failure}")
        return EvaluationBatch(
            outputs=[score.value for score in scores],
            scores=[fmean(had) if math.isnan(item) else item for item in items],
            trajectories=list(zip(batch, scores, strict=True)) if capture_traces else None,
        )

    def make_reflective_dataset(
        self,
        candidate: dict[str, str],
        eval_batch: EvaluationBatch[Scored, float],
        components_to_update: list[str],
    ) -> dict[str, list[dict[str, Any]]]:
        """Return what the reflector is told of the edits, the largest disagreements first."""
        scored = by_disagreement(eval_batch.trajectories or [])
        return {key: [self._record(edit, score) for edit, score in scored] for key in components_to_update}

    def _record(self, edit: RatedEdit, score: Score) -> dict[str, Any]:
        record = feedback(edit, score)
        if self._pictures and (url := side_by_side(edit)) is not None:
            record["A and B"] = Image(url=url)
        return record


class _Reflection:
    """The reflector, whose failure gepa would log and try again until the budget is gone."""

    def __init__(self, reflector: Reflector) -> None:
        self.failure: Exception | None = None
        self._reflector = reflector

    def __call__(self, prompt: str | list[dict[str, Any]]) -> str:
        if self.failure is not None:
            raise self.failure
        try:
            return self._reflector(prompt)
        except Exception as error:
            self.failure = error
            raise


class _Progress:
    """Says when a list was good enough to be scored on all edits; gepa's own words go to the debug log."""

    def __init__(self, task: str, judge: BudgetedJudge) -> None:
        self._task = task
        self._judge = judge

    def on_valset_evaluated(self, event: Mapping[str, Any]) -> None:
        best = ", the best so far" if event["is_best_program"] else ""
        rank_zero_info(
            f"{self._task}: round {event['iteration']}, closeness {event['average_score']:.4f}{best}, "
            f"{self._judge.left} calls left"
        )

    def log(self, message: str) -> None:
        _log.debug(message)
