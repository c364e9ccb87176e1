"""Scores over a real HTTP server: exact, lossless, patient with a busy server and plain about a broken one."""

import math
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from hpedit.scorers.base import ScoreRequest
from hpedit.scorers.cache import CachedScorer
from hpedit.scorers.hp_scorer import HPScorer
from hpedit.scorers.openai_backend import OpenAIBackend
from hpedit.scorers.transformers_backend import TransformersBackend
from tests.support.vlm_server import Behaviour, VLMServer, levels

MakeRequests = Callable[[int], list[ScoreRequest]]


@pytest.fixture
def server(judge: Path) -> Iterator[VLMServer]:
    with VLMServer(judge) as server:
        yield server


def backend(
    server: VLMServer, retries: int = 0, max_in_flight: int = 4, timeout: float = 30.0
) -> OpenAIBackend:
    return OpenAIBackend(server.url, "tiny-judge", None, timeout, max_in_flight, retries, backoff=0.01)


def by_hand(server: VLMServer, chat: int) -> float:
    """Expectation of the digits in float64, from the server's own model and a chat it received."""
    model = server._judge
    logprobs = model.logprobs(server.chats[chat]["messages"], server.behaviour.boost, server.behaviour.gain)
    p = np.exp(logprobs.numpy()[model.digits])
    return float(np.dot(np.arange(6), p) / p.sum())


def test_a_score_is_the_exact_expectation_of_the_servers_model(
    server: VLMServer, make_requests: MakeRequests
) -> None:
    server.behaviour.gain = 300.0
    scorer = HPScorer(backend(server, max_in_flight=1), min_mass=0.0)
    scorer.check()
    server.chats.clear()
    values = [score.value for score in scorer.score(make_requests(4))]
    assert values == pytest.approx([by_hand(server, i) for i in range(4)], abs=1e-9)
    assert np.ptp(values) > 0.01


def test_server_and_local_model_agree(server: VLMServer, judge: Path, make_requests: MakeRequests) -> None:
    remote = HPScorer(backend(server), min_mass=0.0).score(make_requests(8))
    local = HPScorer(TransformersBackend(str(judge), dtype="float32", batch_size=3), min_mass=0.0)
    for a, b in zip(remote, local.score(make_requests(8)), strict=True):
        assert a.value == pytest.approx(b.value, abs=1e-6)
        assert a.mass == pytest.approx(b.mass, rel=1e-5)


@pytest.mark.parametrize(
    ("knows", "reads"), [("ids", "logprob_token_ids"), ("top", "top_logprobs"), ("text", "text")]
)
def test_what_the_server_can_tell_is_found_out_once(
    server: VLMServer, make_requests: MakeRequests, knows: str, reads: str
) -> None:
    server.behaviour = Behaviour(knows=knows, boost=8.0)  # type: ignore[arg-type]
    asked = backend(server)
    assert asked.reads is None
    asked.check()
    assert asked.reads == reads
    server.chats.clear()
    assert all(not math.isnan(score.value) for score in HPScorer(asked).score(make_requests(3)))
    assert len(server.chats) == 3


def test_twenty_likeliest_tokens_hold_the_same_digits(server: VLMServer, make_requests: MakeRequests) -> None:
    server.behaviour.boost = 8.0
    exact = HPScorer(backend(server)).score(make_requests(4))
    server.behaviour.knows = "top"
    listed = HPScorer(backend(server)).score(make_requests(4))
    assert [a.value for a in listed] == pytest.approx([b.value for b in exact], abs=1e-12)


def test_digits_that_the_list_leaves_out_lower_the_mass(
    server: VLMServer, make_requests: MakeRequests
) -> None:
    """A random model spreads over its whole vocabulary: twenty tokens are not enough, and the mass says so."""
    exact = HPScorer(backend(server), min_mass=0.0).score(make_requests(2))
    server.behaviour.knows = "top"
    listed = HPScorer(backend(server), min_mass=0.0).score(make_requests(2))
    for a, b in zip(listed, exact, strict=True):
        assert (a.mass or 0.0) < (b.mass or 0.0)


def test_a_plain_server_gives_the_integer_it_generates(
    server: VLMServer, make_requests: MakeRequests
) -> None:
    server.behaviour = Behaviour(knows="text")
    scorer = HPScorer(backend(server))
    with pytest.warns(UserWarning, match="gives no log-probabilities"):
        scorer.check()
    for says, value in [("4", 4.0), ("Score: 2.", 2.0)]:
        server.behaviour.says = says
        assert scorer.score(make_requests(1))[0].value == value
    for says in ("10", "-1", "", "I would rather not."):
        server.behaviour.says = says
        assert math.isnan(scorer.score(make_requests(1))[0].value)


def test_the_generated_integer_can_be_asked_for(server: VLMServer, make_requests: MakeRequests) -> None:
    server.behaviour.says = "1"
    assert HPScorer(backend(server), read="generated").score(make_requests(1))[0].value == 1.0
    assert "logprobs" not in server.chats[-1]


def test_pictures_travel_without_loss(server: VLMServer, make_requests: MakeRequests) -> None:
    request = make_requests(1)[0]
    HPScorer(backend(server), min_mass=0.0).score([request])
    urls = [
        p["image_url"]["url"] for p in server.chats[-1]["messages"][-1]["content"] if p["type"] == "image_url"
    ]
    for url, picture in zip(urls, (*request.sources, request.edit), strict=True):
        np.testing.assert_array_equal(levels(url), picture.permute(1, 2, 0).numpy())


def test_many_requests_share_few_connections(server: VLMServer, make_requests: MakeRequests) -> None:
    asked = backend(server, max_in_flight=3)
    asked.check()
    server.behaviour.delay, server.most_in_flight = 0.2, 0
    HPScorer(asked, min_mass=0.0).score(make_requests(12))
    assert server.most_in_flight == 3
    assert server.connections <= 3


def test_threads_may_score_at_once_and_before_any_check(
    server: VLMServer, make_requests: MakeRequests
) -> None:
    scorer = HPScorer(backend(server), min_mass=0.0)
    requests = make_requests(6)
    results: dict[int, float] = {}
    threads = [
        threading.Thread(target=lambda i=i: results.update({i: scorer.score([requests[i]])[0].value}))
        for i in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [results[i] for i in range(6)] == [score.value for score in scorer.score(requests)]


def test_a_server_that_fails_now_and_then_is_asked_again(
    server: VLMServer, make_requests: MakeRequests
) -> None:
    asked = backend(server, retries=6)
    asked.check()
    server.behaviour.fail_every = 2
    scores = HPScorer(asked, min_mass=0.0).score(make_requests(8))
    assert not any(math.isnan(score.value) for score in scores)
    assert len(server.chats) > 8 + 3


def test_pauses_between_attempts_grow(server: VLMServer, make_requests: MakeRequests) -> None:
    asked = OpenAIBackend(server.url, "tiny-judge", retries=3, backoff=0.1)
    asked.check()
    server.behaviour.fail_every = 1
    start = time.monotonic()
    HPScorer(asked).score(make_requests(1))
    assert time.monotonic() - start > 0.5 * (0.1 + 0.2 + 0.4)  # jitter takes half at most


def test_a_server_out_of_order_costs_the_score_and_tells_why(
    server: VLMServer, make_requests: MakeRequests
) -> None:
    asked = backend(server, retries=1)
    asked.check()
    server.behaviour.fail_every, server.behaviour.words = 1, "CUDA out of memory on worker 3"
    scores = HPScorer(asked).score(make_requests(2))
    assert all(math.isnan(score.value) for score in scores)
    assert all("500" in str(s.failure) and "CUDA out of memory on worker 3" in str(s.failure) for s in scores)


def test_a_request_the_server_calls_wrong_is_not_repeated(
    server: VLMServer, make_requests: MakeRequests
) -> None:
    asked = backend(server, retries=5)
    asked.check()
    server.behaviour.fail_every, server.behaviour.status = 1, 400
    server.chats.clear()
    assert HPScorer(asked).score(make_requests(1))[0].failure
    assert len(server.chats) == 1


def test_a_server_too_slow_is_a_missing_score(server: VLMServer, make_requests: MakeRequests) -> None:
    asked = backend(server, timeout=5.0)
    asked.check()
    hasty = backend(server, timeout=0.2)
    hasty._dialect = asked._dialect
    server.behaviour.delay = 1.0
    assert "no answer within 0.2 s" in str(HPScorer(hasty).score(make_requests(1))[0].failure)


def test_a_server_that_died_is_missing_scores_and_a_failed_check(
    judge: Path, make_requests: MakeRequests
) -> None:
    with VLMServer(judge) as server:
        asked = backend(server)
        asked.check()
        HPScorer(asked, min_mass=0.0).score(make_requests(1))
    score = HPScorer(asked).score(make_requests(1))[0]
    assert math.isnan(score.value)
    assert server.url in str(score.failure)
    with pytest.raises(ConnectionError, match=f"base_url {server.url}"):
        asked.check()


def test_a_server_out_of_order_at_the_start_is_told_in_its_own_words(server: VLMServer) -> None:
    server.behaviour.fail_every, server.behaviour.words = 1, "model is still loading"
    with pytest.raises(ConnectionError, match="model is still loading"):
        backend(server).check()


def test_a_request_that_is_wrong_at_the_start_is_a_value_error(server: VLMServer) -> None:
    server.behaviour = Behaviour(
        fail_every=1, status=400, words="At most 1 image(s) may be provided in one prompt."
    )
    with pytest.raises(ValueError, match=r"At most 1 image\(s\) may be provided"):
        backend(server).check()


def test_a_model_that_is_not_served_is_named(server: VLMServer) -> None:
    with pytest.raises(ValueError, match="does not serve 'gpt-4o'; it has tiny-judge"):
        OpenAIBackend(server.url, "gpt-4o").check()


def test_the_key_comes_from_the_environment(server: VLMServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", "secret")
    OpenAIBackend(server.url, "tiny-judge", api_key_env="JUDGE_KEY").check()
    assert set(server.keys) == {"Bearer secret"}
    monkeypatch.delenv("JUDGE_KEY")
    with pytest.raises(ValueError, match="api_key_env: the environment variable JUDGE_KEY"):
        OpenAIBackend(server.url, "tiny-judge", api_key_env="JUDGE_KEY").check()


def test_extra_fields_are_sent_and_null_takes_one_away(server: VLMServer) -> None:
    extra = {"chat_template_kwargs": {"enable_thinking": False}, "temperature": None}
    OpenAIBackend(server.url, "tiny-judge", extra_body=extra).check()
    assert server.chats[-1]["chat_template_kwargs"] == {"enable_thinking": False}
    assert "temperature" not in server.chats[-1]


def test_it_can_be_sent_to_another_process_before_its_first_use(server: VLMServer) -> None:
    pickle.loads(pickle.dumps(backend(server))).check()


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"base_url": "127.0.0.1:8000/v1"}, "base_url: expected an http"),
        ({"max_in_flight": 0}, "max_in_flight >= 1"),
        ({"retries": -1}, "retries >= 0"),
        ({"timeout": 0.0}, "timeout > 0"),
    ],
)
def test_settings_out_of_range_are_named(settings: dict[str, float | str], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        OpenAIBackend(**{"base_url": "http://127.0.0.1:1/v1", "model": "m", **settings})  # type: ignore[arg-type]


def test_a_model_keeps_its_name_when_its_server_moves_and_loses_it_when_asked_otherwise(
    server: VLMServer, judge: Path, make_requests: MakeRequests
) -> None:
    with VLMServer(judge) as elsewhere:
        assert backend(server).identity() == backend(elsewhere).identity()
    assert OpenAIBackend(server.url, "tiny-judge", max_tokens=9).identity() != backend(server).identity()
    other = OpenAIBackend(server.url, "tiny-judge", extra_body={"seed": 3})
    assert other.identity() != backend(server).identity()
    with VLMServer(judge, Behaviour(knows="top")) as poorer:
        assert backend(poorer).identity() != backend(server).identity()


def test_a_cache_spares_the_server(server: VLMServer, tmp_path: Path, make_requests: MakeRequests) -> None:
    file = str(tmp_path / "scores.sqlite")
    fresh = CachedScorer(HPScorer(backend(server), min_mass=0.0), file).score(make_requests(4))
    server.chats.clear()
    cached = CachedScorer(HPScorer(backend(server), min_mass=0.0), file).score(make_requests(4))
    assert cached == fresh
    assert len(server.chats) == 1  # the probe
    assert all(score.cached for score in cached)
