"""A real vLLM over HTTP gives the scores of transformers, under load, with reuse, through a crash, and in its words."""

import math
import threading
import time
from dataclasses import replace

import pytest

from hpedit.scorers.base import Score, ScoreRequest
from hpedit.scorers.hp_scorer import HPScorer
from hpedit.scorers.openai_backend import OpenAIBackend
from hpedit.scorers.prompts import Order
from hpedit.scorers.transformers_backend import TransformersBackend
from tests.vllm.real_server import RealServer
from tests.vllm.requests_of_edits import requests

# Of the expectation, on the 0-5 scale: float32 on both sides, other kernels. Differences of 1e-6 are usual.
TOLERANCE = 1e-4

both = pytest.mark.parametrize("server", ["Qwen2.5-VL", "Qwen3-VL"], indirect=True)
one = pytest.mark.parametrize("server", ["Qwen2.5-VL"], indirect=True)


def served(server: RealServer, max_in_flight: int = 64, retries: int = 4) -> HPScorer:
    # A random model's digits hold little mass, which is not what is tested here.
    return HPScorer(
        OpenAIBackend(server.url, server.name, max_in_flight=max_in_flight, retries=retries), min_mass=0.0
    )


def values(scores: list[Score]) -> list[float]:
    assert not [score.failure for score in scores if score.failure]
    return [score.value for score in scores]


@both
def test_the_server_tells_exactly_the_six_digits(server: RealServer) -> None:
    scorer = served(server)
    scorer.check()
    assert isinstance(scorer.backend, OpenAIBackend)
    assert scorer.backend.reads == "logprob_token_ids"
    assert str(server.model) in scorer.backend.identity()


@both
def test_http_and_transformers_agree(server: RealServer) -> None:
    asked = requests(24)
    local = HPScorer(TransformersBackend(str(server.model), dtype="float32", device="cpu"), min_mass=0.0)
    ours, theirs = local.score(asked), served(server).score(asked)
    assert values(theirs) == pytest.approx(values(ours), abs=TOLERANCE)
    assert [s.mass for s in theirs] == pytest.approx([s.mass for s in ours], rel=0.01)
    apart = max(abs(a.value - b.value) for a, b in zip(ours, theirs, strict=True))
    spread = max(values(ours)) - min(values(ours))
    print(f"largest difference {apart:.2g} of scores that spread over {spread:.2g}")
    assert spread > 5 * TOLERANCE  # else agreement would mean nothing


@one
def test_sixty_four_in_flight_give_the_scores_of_one_at_a_time(server: RealServer) -> None:
    asked = requests(64)
    began = time.monotonic()
    together = served(server, max_in_flight=64).score(asked)
    took = time.monotonic() - began
    alone = served(server, max_in_flight=1).score(asked[:8])
    print(f"64 edits in {took:.1f} s")
    assert values(together)[:8] == pytest.approx(values(alone), abs=TOLERANCE)
    assert len(values(together)) == 64


def reused(server: RealServer, order: Order, scorer: HPScorer, first: int) -> tuple[float, float]:
    """Return the share of a prompt's tokens that siblings find in the cache, and that another case of the task does."""
    scorer.prompts = {name: replace(prompt, order=order) for name, prompt in scorer.prompts.items()}
    group, other = requests(first, group=8)[:8], requests(first + 64, group=8)[:8]

    def alike(rs: list[ScoreRequest]) -> list[ScoreRequest]:
        return [replace(r, task="bokeh", instruction=f"{order} {r.instruction}") for r in rs]

    def share(asked: list[ScoreRequest]) -> float:
        names = ("prefix_cache_hits_total", "prefix_cache_queries_total")
        before = [server.counter(name) for name in names]
        values(scorer.score(asked))
        time.sleep(1.5)  # the server's counters lag a little
        hits, queries = (server.counter(name) - b for name, b in zip(names, before, strict=True))
        return hits / queries

    share(alike(group[:1]))
    return share(alike(group[1:])), share(alike(other[:1]))


@one
def test_rubric_first_is_read_once_for_siblings_and_for_a_task(server: RealServer) -> None:
    scorer = served(server)
    rubric, images = (reused(server, order, scorer, 8) for order in ("rubric_first", "images_first"))
    print(f"reused by siblings and by another case: rubric first {rubric}, images first {images}")
    assert rubric[0] > images[0] + 0.2
    assert rubric[1] > images[1] + 0.2
    assert images[0] > 0  # the source is shared in either order


@one
def test_a_prompt_that_is_too_long_is_missing_in_the_servers_words(server: RealServer) -> None:
    fine, other = requests(2)
    scores = served(server).score([fine, replace(other, instruction="never ending " * 4000), other])
    assert not math.isnan(scores[0].value)
    assert not math.isnan(scores[2].value)
    assert scores[1].failure is not None
    print(scores[1].failure)
    assert "400" in scores[1].failure
    assert "4096" in scores[1].failure


@one
def test_scoring_goes_on_when_the_server_dies_and_comes_back(server: RealServer) -> None:
    """Comes last: it starts the server anew. What falls into the gap is missing, with the reason, and nothing else."""
    scorer, asked = served(server, retries=1), requests(4)
    before = values(scorer.score(asked))
    rounds: list[list[Score]] = []
    over = threading.Event()

    def keep_scoring() -> None:
        while not over.is_set():
            rounds.append(scorer.score(asked))
            time.sleep(0.5)

    thread = threading.Thread(target=keep_scoring)
    thread.start()
    try:
        server.kill()
        time.sleep(5.0)
        server.start()
        until = time.monotonic() + 120
        while time.monotonic() < until and (not rounds or any(s.failure for s in rounds[-1])):
            time.sleep(1.0)
    finally:
        over.set()
        thread.join()
    failed = [score for scores in rounds for score in scores if score.failure]
    print(f"{len(failed)} of {4 * len(rounds)} scores fell into the gap: {failed[0].failure}")
    assert all(math.isnan(score.value) and score.failure for score in failed)
    assert failed
    assert values(rounds[-1]) == pytest.approx(before, abs=TOLERANCE)
