"""Rebuilding the judge: one command goes from nothing through all stages to a judge that scores."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from hpedit.miniature.judge import MiniatureJudge
from hpedit.miniature.judge_build import judge, rated_requests
from hpedit.records import read_cases


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


@pytest.mark.slow
def test_from_nothing_to_a_judge_that_scores(tmp_path: Path):
    shipped, work = tmp_path / "shipped", tmp_path / "work"
    judge(
        [],
        str(shipped),
        str(work),
        flawed=16,
        missed=16,
        edited=16,
        validated=4,
        lessons=2,
        steps=2,
    )
    kinds = {c.model for case in read_cases(str(work / "train")) for c in case.candidates}
    assert kinds == {"flawed_edit", "nearly_right_edit", "miniature, 0 of base"}

    untrained, schooled, judged = map(weights, (work / "untrained", work / "schooled", shipped))
    assert {tensor.dtype for tensor in judged.values()} == {torch.float16}
    for before, after in ((untrained, schooled), (schooled, judged)):
        moved = [name for name in after if not torch.equal(before[name].to(after[name].dtype), after[name])]
        assert any("language_model" in name for name in moved), "each stage trains the judge"

    requests = [request for case in read_cases(str(work / "held_out")) for request, _ in rated_requests(case)]
    masses = [score.mass for score in MiniatureJudge(str(shipped)).score(requests)]
    assert len(masses) == 12
    assert all(mass is not None and 0 < mass < 1 for mass in masses)


def test_an_adapter_that_is_not_there_is_named_before_anything_is_trained(tmp_path: Path):
    with pytest.raises(ValueError, match="no such adapter"):
        judge(["no such adapter"], str(tmp_path), str(tmp_path / "work"), flawed=8, missed=8, edited=8)
    assert not (tmp_path / "work" / "schooled").exists()
