"""HPScorer puts a task's prompt to its backend and reads the answer as it was told to."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hpedit.scorers.base import Score, Scorer, ScoreRequest
from hpedit.scorers.digits import Read
from hpedit.scorers.hp_scorer import Answer, Backend, HPScorer
from hpedit.scorers.prompts import Message, dump_prompt, load_prompts
from hpedit.scorers.score_map import AffineMap
from hpedit.tasks import TASKS

LOGPROBS = tuple(math.log(p) for p in (0.02, 0.02, 0.06, 0.1, 0.35, 0.25))


class Recorded:
    """A backend that gives the same answer to every chat and remembers the chats."""

    def __init__(self, answer: Answer) -> None:
        self.given = answer
        self.chats: list[list[Message]] = []
        self.generate: list[bool] = []

    def check(self) -> None:
        pass

    def answer(self, chats: Sequence[list[Message]], generate: bool) -> list[Answer]:
        self.chats += chats
        self.generate.append(generate)
        return [self.given] * len(chats)


def test_it_is_a_scorer_over_a_backend() -> None:
    assert isinstance(HPScorer(Recorded(Answer())), Scorer)
    assert isinstance(Recorded(Answer()), Backend)


def test_expectation_and_mode_are_read_off_the_same_answer(
    make_requests: Callable[[int], list[ScoreRequest]],
) -> None:
    backend = Recorded(Answer(logprobs=LOGPROBS))
    mean = HPScorer(backend).score(make_requests(1))[0]
    mode = HPScorer(backend, read="argmax").score(make_requests(1))[0]
    assert mean.value == pytest.approx((0.02 + 0.12 + 0.3 + 1.4 + 1.25) / 0.8)
    assert mode.value == 4.0
    assert mode.mass == pytest.approx(0.8)
    assert backend.generate == [False, False]


def test_a_prompts_map_moves_the_expectation_and_nothing_else(
    tmp_path: Path, make_requests: Callable[[int], list[ScoreRequest]]
) -> None:
    [plain] = HPScorer(Recorded(Answer(logprobs=LOGPROBS))).score(make_requests(1))
    prompt = load_prompts()[make_requests(1)[0].task]
    (tmp_path / f"{prompt.name}.yaml").write_text(dump_prompt(replace(prompt, map=AffineMap(0.5, 1.0))))

    def score(answer: Answer, read: Read = "expectation") -> Score:
        return HPScorer(Recorded(answer), str(tmp_path), read=read).score(make_requests(1))[0]

    mapped = score(Answer(logprobs=LOGPROBS))
    assert mapped == replace(plain, value=0.5 * plain.value + 1.0)
    assert score(Answer(logprobs=LOGPROBS), "argmax").value == 4.0
    assert score(Answer(text="3")).value == 3.0
    faint = score(Answer(logprobs=tuple(value - 3 for value in LOGPROBS)))
    assert math.isnan(faint.value)


def test_the_generated_integer_is_asked_for_as_text(
    make_requests: Callable[[int], list[ScoreRequest]],
) -> None:
    backend = Recorded(Answer(text="3"))
    assert HPScorer(backend, read="generated").score(make_requests(1))[0].value == 3.0
    assert backend.generate == [True]


def test_text_is_read_where_the_backend_has_nothing_else(
    make_requests: Callable[[int], list[ScoreRequest]],
) -> None:
    assert HPScorer(Recorded(Answer(text="2"))).score(make_requests(1))[0].value == 2.0
    assert math.isnan(HPScorer(Recorded(Answer(text="two"))).score(make_requests(1))[0].value)


def test_a_failed_answer_keeps_the_servers_words(make_requests: Callable[[int], list[ScoreRequest]]) -> None:
    score = HPScorer(Recorded(Answer(failure="503: overloaded"))).score(make_requests(1))[0]
    assert math.isnan(score.value)
    assert score.failure == "503: overloaded"


def test_a_judge_that_hardly_answers_is_missing(make_requests: Callable[[int], list[ScoreRequest]]) -> None:
    faint = Answer(logprobs=tuple(value - 3 for value in LOGPROBS))
    assert math.isnan(HPScorer(Recorded(faint)).score(make_requests(1))[0].value)
    assert not math.isnan(HPScorer(Recorded(faint), min_mass=0.01).score(make_requests(1))[0].value)


def test_each_task_is_judged_by_its_own_prompt(make_requests: Callable[[int], list[ScoreRequest]]) -> None:
    backend = Recorded(Answer(text="3"))
    scorer = HPScorer(backend)
    scorer.score(make_requests(8))
    for task, chat in zip(TASKS, backend.chats, strict=True):
        assert isinstance(chat[0].parts[0], str)
        assert scorer.prompts[task].preamble in chat[0].parts[0]


def test_the_task_blind_scorer_asks_the_same_of_all(
    make_requests: Callable[[int], list[ScoreRequest]],
) -> None:
    backend = Recorded(Answer(text="3"))
    HPScorer(backend, task_aware=False).score(make_requests(8))
    assert len({chat[0].parts[0] for chat in backend.chats}) == 1


def test_a_task_without_a_prompt_is_named_with_its_case() -> None:
    picture = torch.zeros(3, 4, 4, dtype=torch.uint8)
    request = ScoreRequest("case-9", "sharpening", "Sharpen it", "", (picture,), picture)
    with pytest.raises(ValueError, match=r"case-9.*sharpening"):
        HPScorer(Recorded(Answer(text="3"))).score([request])


def test_min_mass_is_a_probability() -> None:
    with pytest.raises(ValueError, match=r"min_mass: expected a probability in \[0, 1\], got 1.5"):
        HPScorer(Recorded(Answer()), min_mass=1.5)


def test_no_requests_no_scores() -> None:
    assert HPScorer(Recorded(Answer(text="3"))).score([]) == []
