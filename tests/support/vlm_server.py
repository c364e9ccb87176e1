"""A small real OpenAI-compatible server on loopback, with a tiny random Qwen-VL behind transformers.

Written against the API's description and transformers alone: it shares no code with the scorers it tests.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import socket
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor


@dataclass
class Behaviour:
    """How the server behaves; may be changed while it runs.

    Attributes:
        knows: what it can tell of the digits: "ids" as a vLLM of today, "top" as GPT-4o, "text" as the plainest server.
        fail_every: every k-th chat is answered with ``status``; 0 never.
        status: of a failed chat.
        words: the error message of a failed chat.
        delay: seconds every chat takes at least.
        says: the generated text; the likeliest digit by default.
        boost: added to the digits' logits, so that a random model answers with digits.
        gain: how much louder than its random weights make it the model speaks of what is in the pictures.
    """

    knows: Literal["ids", "top", "text"] = "ids"
    fail_every: int = 0
    status: int = 500
    words: str = "the engine is out of order"
    delay: float = 0.0
    says: str | None = None
    boost: float = 0.0
    gain: float = 1.0


class VLMServer:
    """Use as a context manager; ``url`` is the base_url of its API."""

    def __init__(
        self, folder: str | Path, behaviour: Behaviour | None = None, model: str = "tiny-judge"
    ) -> None:
        self.behaviour = behaviour or Behaviour()
        self.model = model
        self.chats: list[dict[str, Any]] = []  # bodies of the chats asked for, failed ones too
        self.keys: list[str | None] = []  # Authorization header of each chat
        self.most_in_flight = 0
        self._in_flight = 0
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self._judge = _Judge(folder)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    @property
    def connections(self) -> int:
        """How many connections were ever opened."""
        return len(self._open)

    def __enter__(self) -> VLMServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Die: nothing listens at ``url`` any more, and open connections break."""
        self._server.shutdown()
        self._server.server_close()
        for connection in self._open:
            with contextlib.suppress(OSError):  # the client closed it
                connection.shutdown(socket.SHUT_RDWR)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"  # connections are kept open
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                with owner._lock:
                    owner._open.append(self.connection)

            def do_GET(self) -> None:
                self._reply(*owner.get(self.path))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self._reply(*owner.post(self.path, body, self.headers["Authorization"]))

            def _reply(self, status: int, reply: dict[str, Any]) -> None:
                raw = json.dumps(reply).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        if path == "/v1/models":
            return 200, {"object": "list", "data": [{"id": self.model, "object": "model"}]}
        return _error(404, f"no route {path}")

    def post(self, path: str, body: dict[str, Any], key: str | None) -> tuple[int, dict[str, Any]]:
        if path == "/tokenize" and self.behaviour.knows == "ids":
            return 200, {"tokens": self._judge.tokenize(body["prompt"])}
        if path != "/v1/chat/completions":
            return _error(404, f"no route {path}")
        with self._lock:
            self.chats.append(body)
            self.keys.append(key)
            number = len(self.chats)
            self._in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            return self._chat(body, number)
        except Exception as error:  # as real servers do
            return _error(500, f"{type(error).__name__}: {error}")
        finally:
            with self._lock:
                self._in_flight -= 1

    def _chat(self, body: dict[str, Any], number: int) -> tuple[int, dict[str, Any]]:
        behaviour = self.behaviour
        time.sleep(behaviour.delay)
        if behaviour.fail_every and number % behaviour.fail_every == 0:
            return _error(behaviour.status, behaviour.words)
        if "logprob_token_ids" in body and behaviour.knows != "ids":
            return _error(400, "unrecognized request argument: logprob_token_ids")
        logprobs = self._judge.logprobs(body["messages"], behaviour.boost, behaviour.gain)
        digit = int(logprobs[self._judge.digits].argmax())
        text = str(digit) if behaviour.says is None else behaviour.says
        choice: dict[str, Any] = {"index": 0, "message": {"role": "assistant", "content": text}}
        choice["finish_reason"] = "stop"
        if body.get("logprobs") and behaviour.knows != "text":
            ids = body.get("logprob_token_ids") or logprobs.topk(body.get("top_logprobs", 0)).indices.tolist()
            listed = [self._judge.entry(i, logprobs) for i in ids]
            choice["logprobs"] = {
                "content": [{**self._judge.entry(ids[0], logprobs), "top_logprobs": listed}]
            }
        return 200, {"object": "chat.completion", "model": self.model, "choices": [choice]}


class _Judge:
    """The model: one chat at a time, no padding."""

    def __init__(self, folder: str | Path) -> None:
        self.processor = AutoProcessor.from_pretrained(folder)
        self.network: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
        self.digits = [self.tokenize(digit)[0] for digit in "012345"]
        self._lock = threading.Lock()

    def tokenize(self, text: str) -> list[int]:
        return self.processor.tokenizer.encode(text, add_special_tokens=False)

    def logprobs(self, messages: list[dict[str, Any]], boost: float, gain: float) -> torch.Tensor:
        """Return the log-probabilities of every first token."""
        logits = self._logits(messages)
        if gain != 1.0:
            seen = logits[self.digits] - self._logits(messages, grey=True)[self.digits]
            logits[self.digits] += (gain - 1) * seen
        logits[self.digits] += boost
        return logits.log_softmax(dim=-1)

    def entry(self, token: int, logprobs: torch.Tensor) -> dict[str, Any]:
        return {"token": self.processor.tokenizer.decode([token]), "logprob": float(logprobs[token])}

    def _logits(self, messages: list[dict[str, Any]], grey: bool = False) -> torch.Tensor:
        pictures: list[Image.Image] = []
        turns = [{"role": m["role"], "content": _parts(m["content"], pictures)} for m in messages]
        if grey:
            pictures = [Image.new("RGB", picture.size, (128, 128, 128)) for picture in pictures]
        text = self.processor.apply_chat_template(turns, add_generation_prompt=True)
        inputs = self.processor(text=[text], images=pictures or None, return_tensors="pt")
        with self._lock, torch.no_grad():
            return self.network(**inputs).logits[0, -1].double()


def _parts(content: str | list[dict[str, Any]], pictures: list[Image.Image]) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    for part in content:
        if part["type"] == "image_url":
            pictures.append(decode(part["image_url"]["url"]))
    return [{"type": "image"} if part["type"] == "image_url" else part for part in content]


def decode(url: str) -> Image.Image:
    """Decode a PNG data URL."""
    head, _, raw = url.partition(",")
    assert head == "data:image/png;base64", head
    image = Image.open(io.BytesIO(base64.b64decode(raw)))
    assert image.mode == "RGB", image.mode
    return image


def levels(url: str) -> np.ndarray:
    """Return the (H, W, 3) levels that a data URL carries."""
    return np.asarray(decode(url))


def _error(status: int, message: str) -> tuple[int, dict[str, Any]]:
    return status, {"error": {"message": message, "type": "server_error", "code": status}}
