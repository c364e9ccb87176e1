"""A chat model behind a real server as the reflector."""

from collections.abc import Iterator

import pytest

from hpedit.calibration.engine import BudgetedJudge
from hpedit.calibration.gepa_engine import GepaEngine
from hpedit.calibration.reflector import ChatReflector
from hpedit.miniature.random_checkpoints import make_qwen2_5_vl
from hpedit.scorers.base import Score
from tests.calibration.stand_in import TASK, rated
from tests.support.vlm_server import Behaviour, VLMServer

REPLY = "Think of the ghost.\n```\n- Is no ghost left?\n```"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VLMServer]:
    with VLMServer(make_qwen2_5_vl(tmp_path_factory.mktemp("vlm")), Behaviour(says=REPLY)) as server:
        yield server


def test_it_answers_a_text_with_the_key_it_was_given(server: VLMServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REFLECTOR_KEY", "secret")
    assert ChatReflector(server.url, server.model, api_key_env="REFLECTOR_KEY")("How?") == REPLY
    assert server.keys[-1] == "Bearer secret"
    assert server.chats[-1]["messages"] == [{"role": "user", "content": "How?"}]


def test_gepa_shows_it_pictures_and_reads_its_list(server: VLMServer):
    edits = rated(8)
    engine = GepaEngine(ChatReflector(server.url, server.model), minibatch=2)
    judge = BudgetedJudge(
        lambda checks, part: [Score(e.mean if len(checks[0]) > 9 else 0.0) for e in part], 40
    )
    assert next(iter(engine.propose(TASK, ("Is it?",), edits, judge))) == ("Is no ghost left?",)
    kinds = [part["type"] for part in server.chats[-1]["messages"][0]["content"]]
    assert kinds == ["text", "image_url", "image_url"]
    assert engine.description == "gepa with tiny-judge as reflector, at most 12 checks, seed 0"


def test_the_servers_own_words_are_passed_on(server: VLMServer):
    server.behaviour.fail_every, server.behaviour.status = 1, 400
    try:
        with pytest.raises(ValueError, match=r"reflector 'tiny-judge': .*the engine is out of order"):
            ChatReflector(server.url, server.model)("How?")
    finally:
        server.behaviour.fail_every = 0


def test_nobody_there_is_a_connection_error():
    with pytest.raises(ConnectionError, match="reflector 'm'"):
        ChatReflector("http://127.0.0.1:9", "m", retries=0)("How?")


def test_a_bad_address_and_a_missing_key_are_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NO_KEY", raising=False)
    with pytest.raises(ValueError, match=r"reflector.base_url: expected an http"):
        ChatReflector("localhost:8000", "m")
    with pytest.raises(ValueError, match=r"reflector.api_key_env: .* NO_KEY is empty or not set"):
        ChatReflector("http://localhost:8000", "m", api_key_env="NO_KEY")


def test_a_reply_without_a_choice_is_quoted(server: VLMServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server, "post", lambda *_: (200, {"odd": 1}))
    with pytest.raises(ValueError, match=r"expected a chat completion, got \{'odd': 1\}"):
        ChatReflector(server.url, server.model)("How?")
