"""A chat model that reads where judge and people differ, and writes a better list of checks."""

from __future__ import annotations

import os
from typing import Any

from hpedit.scorers.http import JSONClient, ServerError


class ChatReflector:
    """One model of an OpenAI-compatible server, asked one question at a time."""

    def __init__(
        self,
        base_url: str,
        model: str,
        api_key_env: str | None = None,
        temperature: float = 1.0,
        max_tokens: int = 4096,
        timeout: float = 600.0,
        retries: int = 4,
    ) -> None:
        """
        Args:
            base_url: of the API, "http://127.0.0.1:8000/v1".
            model: name under which the server serves it; it should read pictures, see GepaEngine's ``pictures``.
            api_key_env: environment variable that holds the key; none is sent without it.
            temperature: of its sampling; some is needed for different ideas.
            max_tokens: longest reply, reasoning included.
            timeout: seconds one reply may take.
            retries: further attempts after a timeout, a lost connection, 429 or 5xx.
        """
        if not base_url.startswith(("http://", "https://")):
            raise ValueError(f"reflector.base_url: expected an http:// or https:// address, got {base_url!r}")
        if api_key_env is not None and not os.environ.get(api_key_env):
            raise ValueError(
                f"reflector.api_key_env: the environment variable {api_key_env} is empty or not set"
            )
        self.base_url = base_url.rstrip("/")
        self.model = model
        self.temperature = temperature
        self.max_tokens = max_tokens
        key = os.environ[api_key_env] if api_key_env is not None else None
        self._client = JSONClient(key, timeout, max_in_flight=1, retries=retries, backoff=1.0)

    def __call__(self, prompt: str | list[dict[str, Any]]) -> str:
        """Return the reply to a text, or to messages with pictures as the API spells them.

        Raises ConnectionError or ValueError, with the server's own words, if there is none.
        """
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        body = {
            "model": self.model,
            "messages": messages,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
        }
        try:
            reply = self._client.request("POST", f"{self.base_url}/chat/completions", body)
            return reply["choices"][0]["message"]["content"] or ""
        except ServerError as error:
            kind = ConnectionError if error.passing else ValueError
            raise kind(f"reflector {self.model!r}: {error}") from error
        except (KeyError, IndexError, TypeError) as error:
            raise ValueError(
                f"reflector {self.model!r}: expected a chat completion, got {str(reply)[:200]}"
            ) from error
