"""Several dimensions as one reward: each with its prompt and judge, joined by weight."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonargparse import ArgumentParser

from callbacks.reward import RewardCallback
from hpedit.runs import CONFIGS
from hpedit.scorers.hp_scorer import Answer, HPScorer
from hpedit.scorers.pool import ScoringPool, WeightedScorer
from hpedit.scorers.prompts import Message, load_prompts
from tests.support.edits import PATIENCE, edited

DIMENSIONS = ("visual_quality", "instruction_alignment", "attribute_preservation")
FOLDER = CONFIGS.parent / "prompts" / "dimensions"
SHARES = {"visual quality": 4, "is the change that the instruction": 1, "how well image B keeps": 5}


class Reader:
    """A judge that answers with a digit by what the rubric asks of it, and notes the rubrics."""

    def __init__(self) -> None:
        self.rubrics: list[str] = []

    def check(self) -> None:
        pass

    def answer(self, chats: Sequence[list[Message]], generate: bool) -> list[Answer]:
        rubrics = [str(chat[0].parts[0]) for chat in chats]
        self.rubrics += rubrics
        return [Answer(logprobs=_only(_digit(rubric))) for rubric in rubrics]


def _digit(rubric: str) -> int:
    [digit] = [digit for words, digit in SHARES.items() if words in " ".join(rubric.split())]
    return digit


def _only(digit: int) -> tuple[float, ...]:
    return tuple(0.0 if d == digit else -math.inf for d in range(6))


def test_each_dimension_is_asked_by_its_own_prompt_and_the_reward_is_their_weighted_mean() -> None:
    weights = dict(zip(DIMENSIONS, (1.0, 2.0, 1.0), strict=True))
    members = [
        WeightedScorer(name, HPScorer(Reader(), str(FOLDER / name), task_aware=False), weight)
        for name, weight in weights.items()
    ]
    pool = ScoringPool(members, batch_size=4, max_in_flight=3, unchanged_tolerance=1.0)
    scored = pool.collect([pool.submit(edited([1, 2, 3]))], PATIENCE)
    by_dimension = {name: [score.value for score in scores] for name, scores in scored.by_scorer.items()}
    assert by_dimension == dict(zip(DIMENSIONS, ([4.0] * 3, [1.0] * 3, [5.0] * 3), strict=True))
    assert scored.value == [(4 + 2 * 1 + 5) / 4] * 3


def test_the_prompts_of_the_dimensions_differ_in_what_they_ask_and_not_in_how_it_is_answered() -> None:
    prompts = [load_prompts(FOLDER / name)["base"] for name in DIMENSIONS]
    assert len({prompt.preamble for prompt in prompts}) == len({prompt.checks for prompt in prompts}) == 3
    assert len({prompt.answer for prompt in prompts}) == 1
    assert all(len(prompt.scale) == 6 and prompt.checks for prompt in prompts)


@pytest.mark.parametrize("preset", [None, "grpo.yaml"])
def test_the_shipped_config_names_three_dimensions_alone_and_over_a_preset(
    preset: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(CONFIGS.parent)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_argument("--reward", type=RewardCallback | None, default=None)
    words = []
    if preset is not None:
        reward = yaml.safe_load((CONFIGS / preset).read_text())["reward"]
        (tmp_path / "preset.yaml").write_text(yaml.safe_dump({"reward": reward}))
        words = ["--config", str(tmp_path / "preset.yaml")]
    parsed: Any = parser.parse_args([*words, "--config", str(CONFIGS / "scorer/three_dimensions.yaml")])
    built: Any = parser.instantiate_classes(parsed)
    callback = built.reward
    assert [member.name for member in callback.scorers] == list(DIMENSIONS)
    assert [member.weight for member in callback.scorers] == [1.0, 2.0, 1.0]
    own = [load_prompts(FOLDER / name)["base"] for name in DIMENSIONS]
    assert [member.scorer.prompts["base"] for member in callback.scorers] == own
    assert not any(member.scorer.task_aware for member in callback.scorers)
