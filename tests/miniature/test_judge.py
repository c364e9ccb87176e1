"""The judge that ships: small, a plain VLM, and of one mind with the exact rating on scenes it never saw."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest

from hpedit.miniature.judge import MiniatureJudge, judge_folder
from hpedit.miniature.judge_build import REPORTED, print_report, rated_requests
from hpedit.miniature.judge_data import flawed_cases
from hpedit.scorers.base import Scorer


@pytest.fixture(scope="module")
def judge() -> MiniatureJudge:
    return MiniatureJudge()


def test_it_is_small_and_holds_no_pickle():
    files = [f for f in judge_folder().rglob("*") if f.is_file()]
    assert sum(f.stat().st_size for f in files) <= 8e6
    assert {f.suffix for f in files} <= {".json", ".jinja", ".safetensors", ".txt"}


def test_it_agrees_with_the_exact_rating_on_held_out_scenes(judge: Scorer):
    requests, exact = zip(
        *chain.from_iterable(map(rated_requests, flawed_cases(range(REPORTED, REPORTED + 48), 3, seed=5))),
        strict=True,
    )
    scores = judge.score(requests)
    assert all(score.failure is None and (score.mass or 0) > 0.95 for score in scores)
    assert np.corrcoef([s.value for s in scores], exact)[0, 1] > 0.9


def test_it_needs_no_target(judge: Scorer):
    request, _ = next(rated_requests(next(flawed_cases([REPORTED], 1))))
    assert request.target is None
    assert 0 <= judge.score([request])[0].value <= 5


def test_the_report_has_a_row_for_all_edits_and_one_a_task(judge: Scorer, capsys: pytest.CaptureFixture[str]):
    print_report(judge, "synthetic flaws", flawed_cases(range(REPORTED, REPORTED + 16), 2))
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[0] == "synthetic flaws"
    assert [line.split("|")[2].strip() for line in lines[4:]] == ["32"] + ["4"] * 8
