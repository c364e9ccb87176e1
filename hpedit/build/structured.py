"""Answers as JSON of a schema, where the server can be held to one."""

from __future__ import annotations

from copy import copy
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_warn

from hpedit.scorers.hp_scorer import Backend
from hpedit.scorers.openai_backend import OpenAIBackend
from hpedit.scorers.prompts import Message


def structured(backend: Backend, name: str, schema: dict[str, Any]) -> Backend:
    """Return a backend whose texts follow a JSON schema, or ``backend`` itself where that cannot be had.

    OpenAI-compatible servers (vLLM, SGLang, OpenAI) take the schema as ``response_format``; one that refuses it is
    found out by a probe, and said. A backend with a response_format of its own in extra_body (null for none) keeps it.
    """
    if not isinstance(backend, OpenAIBackend) or "response_format" in backend.extra_body:
        return backend
    held = copy(backend)
    wanted = {"name": name, "schema": schema, "strict": True}
    held.extra_body = {
        **backend.extra_body,
        "response_format": {"type": "json_schema", "json_schema": wanted},
    }
    [answer] = held.answer([_probe()], generate=True)
    if answer.failure is None:
        return held
    rank_zero_warn(
        f"{backend.model} is not held to a JSON schema, its replies are read as they come: {answer.failure}"
    )
    return backend


def _probe() -> list[Message]:
    grey = torch.full((3, 64, 64), 128, dtype=torch.uint8)
    return [Message("user", (grey, "Describe the picture as JSON."))]
