"""Scores by prompts that change: each asked for once, by the prompt that is meant."""

from hpedit.calibration.asking import Asked, prompted
from hpedit.scorers.hp_scorer import HPScorer
from tests.calibration.stand_in import GHOST, TASK, FaultBackend, plain_prompt, rated


def test_the_scorer_asks_by_the_prompt_and_is_itself_unchanged():
    scorer = HPScorer(FaultBackend(), task_aware=False)
    shipped = scorer.prompts[TASK]
    other = prompted(scorer)(plain_prompt(GHOST))
    assert isinstance(other, HPScorer)
    assert other.task_aware
    assert other.prompts[TASK] == plain_prompt(GHOST)
    assert (scorer.prompts[TASK], scorer.task_aware) == (shipped, False)


def test_a_score_is_asked_for_once_by_each_prompt():
    backend, edits = FaultBackend(), rated(6)
    asked = Asked(prompted(HPScorer(backend)))
    asked(plain_prompt(), edits[:2])
    first = asked(plain_prompt(), edits)
    assert asked.calls == len(backend.instructions) == 6
    assert asked(plain_prompt(), edits[::-1]) == first[::-1]
    assert asked(plain_prompt(GHOST), edits) != first
    assert asked.calls == 12
