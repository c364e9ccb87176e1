"""Copies and splits of a judge by memory arithmetic, and what a model's name tells."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpedit.scoring.vllm_command import billions_of, bytes_of, split


@pytest.mark.parametrize(
    ("billions", "weight_bytes", "gpus", "gpu_gb", "replicas", "gpus_each"),
    [
        (8, 2, 1, 80, 1, 1),  # 16 GB
        (8, 2, 8, 80, 8, 1),
        (8, 2, 4, 24, 4, 1),  # 16 GB in 16.2
        (9, 2, 4, 24, 2, 2),
        (32, 2, 8, 80, 4, 2),  # 64 GB in 54
        (32, 2, 8, 141, 8, 1),
        (32, 1, 8, 80, 8, 1),
        (72, 2, 8, 80, 2, 4),
        (235, 1, 8, 80, 1, 8),
        (32, 2, 6, 80, 3, 2),  # six GPUs split by two, not by four
    ],
)
def test_a_model_is_copied_where_it_fits_and_split_where_it_does_not(
    billions: float, weight_bytes: float, gpus: int, gpu_gb: float, replicas: int, gpus_each: int
) -> None:
    layout = split(billions * weight_bytes, gpus, gpu_gb, 0.9)
    assert (layout.replicas, layout.gpus_each) == (replicas, gpus_each)


@given(st.floats(0.5, 2000), st.integers(1, 16), st.floats(8, 200), st.floats(0.1, 1))
def test_a_split_uses_all_gpus_and_is_no_finer_than_it_must_be(
    weights: float, gpus: int, gpu_gb: float, share: float
) -> None:
    room = gpu_gb * share * 0.75
    try:
        layout = split(weights, gpus, gpu_gb, share)
    except ValueError:
        assert weights / math.gcd(gpus, 16) > room
        return
    assert layout.replicas * layout.gpus_each == gpus
    assert weights / layout.gpus_each <= room
    assert layout.gpus_each == 1 or weights / (layout.gpus_each / 2) > room


def test_a_model_that_does_not_fit_is_told_what_it_wants() -> None:
    with pytest.raises(ValueError, match="--gpus 8: 470 GB of weights want 16 GPUs of 80 GB"):
        split(470, 8, 80, 0.9)


@pytest.mark.parametrize(
    ("model", "billions", "weight_bytes"),
    [
        ("Qwen/Qwen3-VL-32B-Instruct", 32, 2),
        ("Qwen/Qwen3-VL-30B-A3B-Instruct-FP8", 30, 1),
        ("Qwen/Qwen2.5-VL-7B-Instruct-AWQ", 7, 0.6),
        ("models/14b/Qwen2.5-VL-72B-Instruct", 72, 2),
        ("OpenGVLab/InternVL3_5-1.5B", 1.5, 2),
    ],
)
def test_a_models_name_tells_its_size(model: str, billions: float, weight_bytes: float) -> None:
    assert (billions_of(model), bytes_of(model)) == (billions, weight_bytes)


@pytest.mark.parametrize("model", ["my-judge", "checkpoints/step-500", "org/A3B"])
def test_a_name_that_tells_no_size_asks_for_it(model: str) -> None:
    with pytest.raises(ValueError, match="--billions"):
        billions_of(model)
