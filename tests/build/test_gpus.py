"""Each worker of a machine sees a GPU of its own, or its share of one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hpedit.build.gpus import claim_gpu


@pytest.mark.parametrize(("share", "wanted"), [(1.0, ["4", "7"]), (0.5, ["4", "7", "4", "7"])])
def test_workers_spread_over_the_gpus_until_all_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float, wanted: list[str]
):
    claimed = []
    for _ in wanted:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, 7")  # as another worker finds it
        claimed.append(claim_gpu(share, tmp_path))
        assert os.environ["CUDA_VISIBLE_DEVICES"] == claimed[-1]
    assert claimed == wanted
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    with pytest.raises(ValueError, match=rf"workers.gpus: wanted {share} of a GPU .*all of 4, 7 are taken"):
        claim_gpu(share, tmp_path)


def test_a_machine_without_a_gpu_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(ValueError, match="all of none are taken"):
        claim_gpu(1.0, tmp_path)
