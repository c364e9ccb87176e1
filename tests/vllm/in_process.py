"""Scores with VLLMBackend and with TransformersBackend in one process; run by test_parity in vLLM's environment.

Usage: in_process.py MODEL COUNT OUT. Writes the scores of both to OUT, as JSON: vLLM talks on stdout itself.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from hpedit.scorers.base import Score
from hpedit.scorers.hp_scorer import HPScorer
from hpedit.scorers.transformers_backend import TransformersBackend
from hpedit.scorers.vllm_backend import VLLMBackend
from tests.vllm.requests_of_edits import requests

# vLLM cannot sleep on a CPU; that is shown with a stand-in engine in tests/scorers/test_vllm_backend.py.
ENGINE = {"enforce_eager": True, "block_size": 32, "limit_mm_per_prompt": {"image": 2}}


def plain(scores: list[Score]) -> list[list[float | str | None]]:
    return [[score.value, score.mass, score.failure] for score in scores]


def main(model: str, count: int, out: str) -> None:
    asked = requests(count)
    engine = VLLMBackend(model, "float32", max_model_len=4096, sleep_level=0, engine=ENGINE)
    served = HPScorer(engine, min_mass=0.0)
    served.check()
    local = HPScorer(TransformersBackend(model, dtype="float32", device="cpu"), min_mass=0.0)
    texts = HPScorer(engine, read="generated").score(asked[:2])
    both = {"vllm": plain(served.score(asked)), "local": plain(local.score(asked)), "texts": len(texts)}
    Path(out).write_text(json.dumps(both))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
