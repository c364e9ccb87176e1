"""HP-Scorer: a frozen vision-language model that rates an edit from 0 to 5 by its task's prompt (paper, stage 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from hpedit.scorers.base import Score, ScoreRequest, sleep, wake
from hpedit.scorers.digits import Read, score_from_logprobs, score_from_text
from hpedit.scorers.prompts import BASE, Message, ScoringPrompt, fingerprint, load_prompts, render
from hpedit.scorers.score_map import ScoreMap


@dataclass(frozen=True)
class Answer:
    """What a VLM answered to one chat; one of the three is set.

    Attributes:
        logprobs: natural log-probabilities of "0" to "5" as the first token, over the whole vocabulary.
        text: the generated reply.
        failure: why there is neither, in the server's own words.
    """

    logprobs: tuple[float, ...] | None = None
    text: str | None = None
    failure: str | None = None


@runtime_checkable
class Backend(Protocol):
    """A VLM that answers chats with pictures. ``answer`` is called from several threads at once."""

    def check(self) -> None:
        """Raise ConnectionError or ValueError, with the server's own words, if no answer can be had at all."""
        ...

    def answer(self, chats: Sequence[list[Message]], generate: bool) -> list[Answer]:
        """Return one Answer per chat, in order: its text if ``generate``, else digit log-probabilities where the
        model gives them and text where it does not."""
        ...


@runtime_checkable
class NamedBackend(Protocol):
    """A backend that can tell which model answers: equal names and chats mean equal answers."""

    def identity(self) -> str: ...


class HPScorer:
    """Scores edits in [0, 5] with a VLM and a prompt per task.

    Where a prompt's version has a fitted map, the expectation goes through it; the probabilities stay the judge's own,
    and a mode or a generated integer is left as it is.
    """

    def __init__(
        self,
        backend: Backend,
        prompts: str | None = None,
        task_aware: bool = True,
        read: Read = "expectation",
        min_mass: float = 0.5,
    ) -> None:
        """
        Args:
            backend: the VLM that is asked.
            prompts: folder with a prompt file for some tasks or all, and base.yaml; the project's own for the rest.
            task_aware: use each task's prompt; False asks the task-blind base prompt of everything.
            read: "expectation" of the digits' probabilities, their "argmax", or the "generated" integer.
            min_mass: least probability of the six digits together that counts as an answer, in [0, 1].
        """
        if not 0.0 <= min_mass <= 1.0:
            raise ValueError(f"min_mass: expected a probability in [0, 1], got {min_mass}")
        self.backend = backend
        self.prompts = load_prompts(prompts)
        self.task_aware = task_aware
        self.read: Read = read
        self.min_mass = min_mass

    def check(self) -> None:
        self.backend.check()

    def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        chats = [render(self._prompt(request), request) for request in requests]
        answers = self.backend.answer(chats, generate=self.read == "generated")
        return [self._score(a, self._prompt(r).map) for a, r in zip(answers, requests, strict=True)]

    def identity(self, request: ScoreRequest) -> str:
        """Name the model, the prompt by version and content, and how it is read. Raises ValueError for a backend
        that cannot name its model."""
        if not isinstance(self.backend, NamedBackend):
            raise ValueError(
                f"{type(self.backend).__name__} does not say which model answers (no identity())"
            )
        prompt = self._prompt(request)
        how = f"{self.read} min_mass={self.min_mass}"
        return f"{self.backend.identity()} | {prompt.name} {prompt.version} {fingerprint(prompt)} | {how}"

    def wake(self) -> None:
        wake([self.backend])

    def sleep(self) -> None:
        sleep([self.backend])

    def _prompt(self, request: ScoreRequest) -> ScoringPrompt:
        name = request.task if self.task_aware else BASE
        if name not in self.prompts:
            raise ValueError(f"{request.case_id}: no scoring prompt for task {name!r}")
        return self.prompts[name]

    def _score(self, answer: Answer, fitted: ScoreMap | None) -> Score:
        if answer.failure is not None:
            return Score.missing(answer.failure)
        if answer.logprobs is None or self.read == "generated":
            return score_from_text(answer.text or "")
        score = score_from_logprobs(answer.logprobs, self.read, self.min_mass)
        if fitted is None or self.read != "expectation" or score.failure is not None:
            return score
        return replace(score, value=fitted(score.value))
