"""The in-process vLLM backend against a stand-in engine; tests/vllm asks a real one."""

import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from transformers import AutoTokenizer

from hpedit.scorers.base import ScoreRequest, Sleeper
from hpedit.scorers.hp_scorer import Backend, HPScorer, NamedBackend
from hpedit.scorers.vllm_backend import VLLMBackend

MakeRequests = Callable[[int], list[ScoreRequest]]


class Engine:
    """Stands for vllm.LLM: digit d gets the log-probability -d; a prompt with "endless" in it is too long."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        self.events: list[str] = []
        self.asked: list[Any] = []

    def get_tokenizer(self) -> Any:
        return AutoTokenizer.from_pretrained(self.settings["model"])

    def chat(self, chats: list[Any], params: SimpleNamespace, use_tqdm: bool) -> list[SimpleNamespace]:
        self.events.append("chat")
        if any("endless" in str(chat) for chat in chats):
            raise ValueError("The decoder prompt is longer than the maximum model length of 64.")
        self.asked += chats
        ids = getattr(params, "logprob_token_ids", [])
        # The engine adds the token that it sampled to those that were asked for.
        listed = {token: SimpleNamespace(logprob=-float(digit)) for digit, token in enumerate(ids)}
        listed[10**6] = SimpleNamespace(logprob=-0.1)
        output = SimpleNamespace(text=f"{params.max_tokens % 6}", logprobs=[listed])
        return [SimpleNamespace(outputs=[output])] * len(chats)

    def sleep(self, level: int) -> None:
        self.events.append(f"sleep {level}")

    def wake_up(self, tags: list[str] | None = None) -> None:
        self.events.append(f"wake {tags}")

    def collective_rpc(self, method: str) -> None:
        self.events.append(method)


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("vllm")
    module.LLM, module.SamplingParams = Engine, SimpleNamespace  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm", module)
    return module


def test_it_gives_the_digits_of_every_chat(
    vllm: ModuleType, judge: Path, make_requests: MakeRequests
) -> None:
    backend = VLLMBackend(str(judge), max_model_len=512, engine={"enforce_eager": True})
    assert isinstance(backend, Backend)
    assert isinstance(backend, NamedBackend)
    assert isinstance(backend, Sleeper)
    scores = HPScorer(backend, min_mass=0.0).score(make_requests(3))
    weights = [2.718281828459045**-digit for digit in range(6)]
    expected = sum(digit * w for digit, w in enumerate(weights)) / sum(weights)
    assert [score.value for score in scores] == pytest.approx([expected] * 3)
    assert backend._llm.settings["max_model_len"] == 512
    assert backend._llm.settings["enforce_eager"] is True
    assert backend._llm.settings["enable_sleep_mode"] is True


def test_pictures_go_to_the_engine_as_they_are(
    vllm: ModuleType, judge: Path, make_requests: MakeRequests
) -> None:
    backend = VLLMBackend(str(judge))
    [request] = make_requests(1)
    HPScorer(backend, min_mass=0.0).score([request])
    system, user = backend._llm.asked[0]
    assert isinstance(system["content"], str)
    pictures = [part["image_pil"] for part in user["content"] if part["type"] == "image_pil"]
    assert [picture.size for picture in pictures] == [
        (p.shape[2], p.shape[1]) for p in (*request.sources, request.edit)
    ]


def test_text_is_generated_where_it_is_read(
    vllm: ModuleType, judge: Path, make_requests: MakeRequests
) -> None:
    backend = VLLMBackend(str(judge), max_tokens=4)
    assert HPScorer(backend, read="generated").score(make_requests(1))[0].value == 4.0


def test_a_prompt_too_long_costs_its_own_score(
    vllm: ModuleType, judge: Path, make_requests: MakeRequests
) -> None:
    requests = make_requests(3)
    bad = ScoreRequest("x", "bokeh", "endless", "", requests[0].sources, requests[0].edit)
    scores = HPScorer(VLLMBackend(str(judge)), min_mass=0.0).score([*requests, bad])
    assert [score.failure is None for score in scores] == [True, True, True, False]
    assert scores[3].failure is not None
    assert "longer than the maximum model length" in scores[3].failure


@pytest.mark.parametrize(
    ("level", "nap"),
    [
        (1, ["sleep 1", "wake None"]),
        (2, ["sleep 2", "wake ['weights']", "reload_weights", "wake ['kv_cache']"]),
        (0, []),
    ],
)
def test_it_sleeps_once_and_wakes_before_it_answers(
    vllm: ModuleType, judge: Path, make_requests: MakeRequests, level: Any, nap: list[str]
) -> None:
    backend = VLLMBackend(str(judge), sleep_level=level)
    scorer = HPScorer(backend, min_mass=0.0)
    scorer.sleep()  # nothing is loaded yet
    scorer.check()
    scorer.sleep()
    scorer.sleep()
    scorer.score(make_requests(1))
    scorer.wake()
    assert backend._llm.events == [*nap, "chat"]


def test_the_name_tells_checkpoint_and_precision(judge: Path) -> None:
    names = {
        VLLMBackend(str(judge), dtype=d, engine=e).identity()
        for d in ("auto", "float32")
        for e in ({}, {"x": 1})
    }
    assert len(names) == 4
    assert VLLMBackend("org/model", revision="abc").identity() != VLLMBackend("org/model").identity()


def test_a_backend_that_was_not_loaded_can_be_sent_to_another_process(judge: Path) -> None:
    assert pickle.loads(pickle.dumps(VLLMBackend(str(judge)))).model == str(judge)


def test_without_vllm_the_extra_is_named(judge: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(ValueError, match=r"pip install 'hpedit\[vllm\]'"):
        VLLMBackend(str(judge)).check()


def test_a_model_that_does_not_load_is_named(
    vllm: ModuleType, judge: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: Any) -> None:
        raise RuntimeError("Failed to infer device type")

    monkeypatch.setattr(vllm, "LLM", fail)
    with pytest.raises(ValueError, match=r"vLLM cannot load .*Failed to infer device type"):
        VLLMBackend(str(judge)).check()


def test_a_share_of_memory_is_a_share() -> None:
    with pytest.raises(ValueError, match=r"gpu_memory_utilization: expected a share in \(0, 1\], got 1.5"):
        VLLMBackend("x", gpu_memory_utilization=1.5)
