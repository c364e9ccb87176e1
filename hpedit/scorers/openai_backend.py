"""A VLM behind any OpenAI-compatible server: vLLM, SGLang, GPT-4o."""

from __future__ import annotations

import json
import math
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from hpedit.scorers.digits import DIGITS
from hpedit.scorers.hp_scorer import Answer
from hpedit.scorers.http import JSONClient, ServerError
from hpedit.scorers.openai_wire import answer_of, has_every_digit, has_logprobs, listed, messages, text_of
from hpedit.scorers.prompts import Message

_opening = threading.RLock()  # of the module, so that a backend that was not used yet can be pickled


@dataclass(frozen=True)
class _Dialect:
    """A way of asking for the digits.

    Attributes:
        name: for the log.
        fields: of the request's body.
        speaks: whether a reply's choice has what was asked for.
    """

    name: str
    fields: Mapping[str, Any]
    speaks: Callable[[dict[str, Any]], bool]


class OpenAIBackend:
    """Asks one model of a server. What the server can tell of the digits is found out once, at ``check``:

    the log-probabilities of exactly the six digits (vLLM's ``logprob_token_ids``), else those among its 20 likeliest
    tokens, else only the generated text.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        api_key_env: str | None = None,
        timeout: float = 120.0,
        max_in_flight: int = 64,
        retries: int = 4,
        backoff: float = 0.5,
        max_tokens: int = 8,
        extra_body: dict[str, Any] | None = None,
    ) -> None:
        """
        Args:
            base_url: of the API, "http://127.0.0.1:8000/v1".
            model: name under which the server serves it.
            api_key_env: environment variable that holds the key; none is sent without it.
            timeout: seconds one request may take.
            max_in_flight: requests in flight at once, over all threads.
            retries: further attempts after a timeout, a lost connection, 429 or 5xx.
            backoff: seconds before the first retry; doubled at each further one, with jitter.
            max_tokens: length of a generated reply where text is read.
            extra_body: further fields of each request, such as chat_template_kwargs; null removes a field.
        """
        if not base_url.startswith(("http://", "https://")):
            raise ValueError(f"base_url: expected an http:// or https:// address, got {base_url!r}")
        if max_in_flight < 1 or retries < 0 or timeout <= 0:
            raise ValueError(
                "expected max_in_flight >= 1, retries >= 0 and timeout > 0, "
                f"got {max_in_flight}, {retries} and {timeout}"
            )
        self.base_url = base_url.rstrip("/")
        self.model = model
        self.api_key_env = api_key_env
        self.timeout = timeout
        self.max_in_flight = max_in_flight
        self.retries = retries
        self.backoff = backoff
        self.max_tokens = max_tokens
        self.extra_body = extra_body or {}
        self._client: JSONClient | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._dialect: _Dialect | None = None
        self._root: str | None = None  # what the served name stands for, where the server tells

    @property
    def reads(self) -> str | None:
        """How the server tells the digits, "logprob_token_ids", "top_logprobs" or "text"; None before ``check``."""
        return self._dialect.name if self._dialect else None

    def check(self) -> None:
        try:
            self._expect_model()
            self._dialect = self._detect()
        except ServerError as error:
            kind = ConnectionError if error.passing else ValueError
            raise kind(f"base_url {self.base_url}, model {self.model!r}: {error}") from error

    def identity(self) -> str:
        """Name the model as the server does, without its address: servers that give one name to different weights
        must not share a cache."""
        fields = json.dumps(self.extra_body, sort_keys=True)
        return f"openai {self.model} {self._root} {self._known_dialect().name} {self.max_tokens} {fields}"

    def answer(self, chats: Sequence[list[Message]], generate: bool) -> list[Answer]:
        dialect = self._text_dialect() if generate else self._known_dialect()
        urls: dict[int, str] = {}  # siblings share their source: each picture is encoded once

        def ask(chat: list[Message]) -> Answer:
            try:
                return answer_of(self._choice(messages(chat, urls), dialect, retry=True))
            except ServerError as error:
                return Answer(failure=str(error))

        return list(self._open()[1].map(ask, chats))

    def _open(self) -> tuple[JSONClient, ThreadPoolExecutor]:
        with _opening:
            if self._client is None or self._threads is None:
                key = self._api_key()
                self._client = JSONClient(key, self.timeout, self.max_in_flight, self.retries, self.backoff)
                self._threads = ThreadPoolExecutor(self.max_in_flight, thread_name_prefix="hp-scorer")
            return self._client, self._threads

    def _api_key(self) -> str | None:
        if self.api_key_env is None:
            return None
        if not os.environ.get(self.api_key_env):
            raise ValueError(f"api_key_env: the environment variable {self.api_key_env} is empty or not set")
        return os.environ[self.api_key_env]

    def _known_dialect(self) -> _Dialect:
        with _opening:
            if self._dialect is None:
                self.check()
            assert self._dialect is not None
            return self._dialect

    def _text_dialect(self) -> _Dialect:
        return _Dialect("text", {"max_tokens": self.max_tokens}, lambda choice: bool(text_of(choice)))

    def _expect_model(self) -> None:
        try:
            listing = self._open()[0].request("GET", f"{self.base_url}/models", retry=False)
            served = {entry["id"]: entry.get("root") for entry in listing["data"]}
        except (TypeError, KeyError, AttributeError):
            return  # a listing of another shape says nothing
        except ServerError as error:
            if error.status in (404, 405, 501):  # not every server lists its models
                return
            raise
        if self.model not in served:
            raise ValueError(
                f"model: {self.base_url} does not serve {self.model!r}; it has {', '.join(served)}"
            )
        self._root = served[self.model]

    def _detect(self) -> _Dialect:
        dialects = [
            _Dialect("top_logprobs", {"max_tokens": 1, "logprobs": True, "top_logprobs": 20}, has_logprobs),
            self._text_dialect(),
        ]
        if ids := self._digit_ids():
            fields = {"max_tokens": 1, "logprobs": True, "logprob_token_ids": ids}
            dialects.insert(0, _Dialect("logprob_token_ids", fields, has_every_digit))
        refusal: ServerError | None = None
        for dialect in dialects:
            try:
                choice = self._choice(messages(_probe(), {}), dialect, retry=False)
            except ServerError as error:
                if error.status is None:  # nobody there, rather than a field it does not know
                    raise
                refusal = error
                continue
            if dialect.speaks(choice):
                self._report(dialect, choice)
                return dialect
        raise refusal or ServerError(
            "the reply to a probe held neither log-probabilities nor text", status=200
        )

    def _report(self, dialect: _Dialect, choice: dict[str, Any]) -> None:
        if dialect.name == "text":
            rank_zero_warn(
                f"{self.model} at {self.base_url} gives no log-probabilities: reading generated integers"
            )
            return
        seen = sum(math.exp(entry["logprob"]) for entry in listed(choice) if entry.get("logprob") is not None)
        unseen = (
            f", {max(0.0, 1 - seen):.2g} of the probe's probability unlisted" if "top" in dialect.name else ""
        )
        rank_zero_info(f"{self.model} at {self.base_url}: digits are read through {dialect.name}{unseen}")

    def _digit_ids(self) -> list[int] | None:
        """Ask the server's tokenizer; None where it has no such route or a digit is not one token of its own."""
        url = self.base_url.removesuffix("/v1") + "/tokenize"
        ids: list[int] = []
        for digit in DIGITS:
            body = {"model": self.model, "prompt": digit, "add_special_tokens": False}
            try:
                tokens = self._open()[0].request("POST", url, body, retry=False)["tokens"]
            except (ServerError, KeyError, TypeError):
                return None
            if not isinstance(tokens, list) or len(tokens) != 1:
                return None
            ids.append(tokens[0])
        return ids if len(set(ids)) == len(DIGITS) else None

    def _choice(self, turns: list[dict[str, Any]], dialect: _Dialect, retry: bool) -> dict[str, Any]:
        fields = {
            "model": self.model,
            "messages": turns,
            "temperature": 0.0,
            **dialect.fields,
            **self.extra_body,
        }
        body = {name: value for name, value in fields.items() if value is not None}
        reply = self._open()[0].request("POST", f"{self.base_url}/chat/completions", body, retry)
        try:
            choice = reply["choices"][0]
            _ = choice["message"]
        except (KeyError, IndexError, TypeError) as error:
            raise ServerError(
                f"{self.base_url}: expected a choice in the reply, got {str(reply)[:200]}", 200
            ) from error
        return choice


def _probe() -> list[Message]:
    """Return a chat of two grey pictures: a server that takes one picture only says so at the start."""
    grey = torch.full((3, 64, 64), 128, dtype=torch.uint8)
    return [
        Message("user", ("Image A:", grey, "Image B:", grey, f"Reply with one digit of {' '.join(DIGITS)}."))
    ]
