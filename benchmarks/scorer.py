"""What a score costs: edits a second by backend, order of the prompt, group size and way of reading.

    python -m benchmarks.scorer                                           # a tiny random judge, on this machine
    python -m benchmarks.scorer --model Qwen/Qwen3-VL-8B-Instruct         # a real one, here
    python -m benchmarks.scorer --model NAME --base_url http://127.0.0.1:8000/v1 --local false    # served by vLLM

Every row scores the same number of edits, each of them new to the server, through HPScorer as training does.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jsonargparse import auto_cli

from benchmarks.pictures import INSTRUCTIONS
from hpedit.miniature.architectures import VLMSize
from hpedit.miniature.random_checkpoints import make_qwen2_5_vl
from hpedit.scorers.base import ScoreRequest
from hpedit.scorers.hp_scorer import Backend, HPScorer
from hpedit.scorers.openai_backend import OpenAIBackend
from hpedit.scorers.prompts import Order
from hpedit.scorers.transformers_backend import TransformersBackend
from hpedit.tasks import TASKS

REASONING_TOKENS = 128
REASONING = "Go through the checks in two or three sentences. Then write the score, one digit of 0 to 5."
TINY = VLMSize(hidden=128, heads=2, kv_heads=1)  # heads that vLLM can serve on a CPU


@dataclass(frozen=True)
class Work:
    """One row of the table.

    Attributes:
        order: of the prompt.
        group: edits of one case.
        reasons: the judge writes its reasons before the score, instead of one token whose distribution is read.
    """

    order: Order
    group: int
    reasons: bool = False


WORKS = [Work(order, group) for group in (1, 8) for order in ("rubric_first", "images_first")]
WORKS += [Work("rubric_first", group, reasons=True) for group in (1, 8)]


@dataclass(frozen=True)
class Outcome:
    """Edits a second of one row."""

    backend: str
    work: Work
    rate: float


def new_requests(work: Work, edits: int, side: int, seed: int) -> list[ScoreRequest]:
    """Return requests for edits of smooth random pictures; another seed gives other pictures."""
    draw = torch.Generator().manual_seed(seed)

    def picture() -> torch.Tensor:
        coarse = torch.rand(1, 3, 8, 8, generator=draw)
        smooth = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")[0]
        return (255 * smooth).to(torch.uint8)

    requests: list[ScoreRequest] = []
    for i in range(edits):
        case = i // work.group
        sources = requests[-1].sources if i % work.group else (picture(),)
        text = f"{INSTRUCTIONS[case % len(INSTRUCTIONS)]} ({seed}-{case})"
        requests.append(ScoreRequest(f"{seed}-{case}", TASKS[case % 8], text, "", sources, picture()))
    return requests


def measure(name: str, backend: Backend, work: Work, edits: int, side: int, seed: int) -> Outcome:
    """Score new edits once. Raises ConnectionError, with its words, where a judge could not be asked."""
    scorer = HPScorer(backend, read="generated" if work.reasons else "expectation", min_mass=0.0)
    for task, prompt in scorer.prompts.items():
        answer = REASONING if work.reasons else prompt.answer
        scorer.prompts[task] = replace(prompt, order=work.order, answer=answer)
    requests = new_requests(work, edits, side, seed)
    began = time.perf_counter()
    scores = scorer.score(requests)
    took = time.perf_counter() - began
    # A random judge's reasons hold no score; that costs as much as reasons that do.
    failures = [
        s.failure for s in scores if s.failure and not (work.reasons and "not an answer" in s.failure)
    ]
    if failures:
        raise ConnectionError(f"{name}: {len(failures)} of {edits} edits were not scored: {failures[0]}")
    return Outcome(name, work, edits / took)


def report(outcomes: list[Outcome]) -> str:
    """Return a Markdown table; the ratio is to the same backend's first row."""
    lines = ["| backend | order | G | read | edits/s | ratio |", "|---|---|---:|---|---:|---:|"]
    first: dict[str, float] = {}
    for outcome in outcomes:
        work = outcome.work
        read = f"reasons, up to {REASONING_TOKENS} tokens" if work.reasons else "one token"
        ratio = outcome.rate / first.setdefault(outcome.backend, outcome.rate)
        row = f"| {outcome.backend} | {work.order.replace('_', ' ')} | {work.group} | {read} "
        lines.append(row + f"| {outcome.rate:.3g} | {ratio:.2f} |")
    return "\n".join(lines)


def main(
    model: str | None = None,
    base_url: str | None = None,
    local: bool = True,
    edits: int = 32,
    side: int = 112,
    batch_size: int = 8,
    max_in_flight: int = 64,
    dtype: Literal["float32", "bfloat16", "float16"] = "float32",
) -> None:
    """Print a Markdown table of edits scored a second.

    Args:
        model: checkpoint, and the name under which the server serves it; a tiny random Qwen2.5-VL by default.
        base_url: of a served judge; none is asked without it.
        local: run the model here too, through transformers.
        edits: scored in each row; a multiple of 8.
        side: of a picture in pixels.
        batch_size: edits in one forward pass here.
        max_in_flight: requests at once to the server.
        dtype: of the weights here.
    """
    if edits < 8 or edits % 8:
        raise ValueError(f"--edits: expected a multiple of 8, got {edits}")
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = model or (str(make_qwen2_5_vl(folder, TINY)) if local else "")
        if not checkpoint:
            raise ValueError("--model: wanted the name under which the server serves its model, got none")
        # One generated length for all rows: it does not matter where a single token is read.
        backends: dict[str, Backend] = {}
        if local:
            backends["transformers"] = TransformersBackend(
                checkpoint, dtype=dtype, batch_size=batch_size, max_tokens=REASONING_TOKENS
            )
        if base_url is not None:
            backends["served"] = OpenAIBackend(
                base_url, checkpoint, max_in_flight=max_in_flight, max_tokens=REASONING_TOKENS
            )
        print(report([*_outcomes(backends, edits, side)]))


def _outcomes(backends: dict[str, Backend], edits: int, side: int) -> Iterator[Outcome]:
    for name, backend in backends.items():
        backend.check()
        for order in ("rubric_first", "images_first"):  # load, compile and read the rubrics once
            measure(name, backend, Work(order, 1), 8, side, seed=0)
        for seed, work in enumerate(WORKS, start=1):
            yield measure(name, backend, work, edits, side, seed)


if __name__ == "__main__":
    auto_cli(main, as_positional=False)
