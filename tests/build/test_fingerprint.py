"""A fingerprint changes with what a stage makes, and with nothing else."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpedit.build.collect import Collect
from hpedit.build.fingerprint import describe, fingerprint
from hpedit.build.sources import Folder
from hpedit.build.stage import Workers
from hpedit.scorers.hp_scorer import HPScorer
from hpedit.scorers.openai_backend import OpenAIBackend
from tests.support.build_stages import Thrice, Twice


@dataclass(frozen=True)
class Judge:
    scorer: HPScorer


def judge(
    url: str = "http://127.0.0.1:8000/v1", model: str = "m", prompts: str | None = None, **how
) -> Judge:
    return Judge(HPScorer(OpenAIBackend(url, model, **how), prompts))


@given(st.integers(1, 9), st.integers(1, 9), st.text(max_size=3), st.text(max_size=3))
def test_equal_settings_and_only_they_are_equal(a: int, b: int, path: str, other: str):
    first, second = (Collect((Folder(p),), min_side=side) for p, side in ((path, a), (other, b)))
    assert (fingerprint(first) == fingerprint(second)) == (first == second)


def test_workers_addresses_and_patience_do_not_matter():
    stage = Twice()
    assert fingerprint(stage) == fingerprint(replace(stage, workers=Workers(count=8, gpus=1.0)))
    assert fingerprint(judge()) == fingerprint(judge("https://elsewhere/v1", timeout=9.0, retries=0))


def test_the_model_the_class_and_what_came_before_matter():
    assert fingerprint(judge()) != fingerprint(judge(model="n"))
    assert fingerprint(Twice()) != fingerprint(Thrice())
    assert fingerprint(Twice(), "a") != fingerprint(Twice(), "b")


def test_another_wording_of_a_prompt_matters(tmp_path):
    from hpedit.scorers.prompts import default_folder

    for file in default_folder().glob("*.yaml"):
        (tmp_path / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    same = fingerprint(judge(prompts=str(tmp_path)))
    assert same == fingerprint(judge())
    base = tmp_path / "base.yaml"
    base.write_text(base.read_text(encoding="utf-8").replace("version: ", "version: x", 1), encoding="utf-8")
    assert fingerprint(judge(prompts=str(tmp_path))) != same


class Forgetful:
    def __init__(self, level: int) -> None:
        pass


def test_a_class_that_forgets_its_arguments_is_named():
    with pytest.raises(ValueError, match=r"settings\.scorer: Forgetful does not keep its argument 'level'"):
        describe({"scorer": Forgetful(3)})
