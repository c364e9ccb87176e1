"""JSON over HTTP to a server that may be slow, busy or gone: connection reuse, retries with back-off, its own words."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from typing import Any

import httpx

_BUSY = {408, 409, 425, 429}  # worth another try, like every 5xx
_LONGEST_PAUSE = 30.0  # seconds


class ServerError(Exception):
    """A request that failed for good, in the server's words where it had any.

    Attributes:
        status: HTTP status, None where no answer came.
        retry_after: seconds the server asked to wait, None where it did not.
    """

    def __init__(self, words: str, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(words)
        self.status = status
        self.retry_after = retry_after

    @property
    def passing(self) -> bool:
        """Whether the same request may succeed a moment later."""
        return self.status is None or self.status in _BUSY or self.status >= 500


class JSONClient:
    """Thread-safe client of one server; up to ``max_in_flight`` connections are kept open and reused."""

    def __init__(
        self, api_key: str | None, timeout: float, max_in_flight: int, retries: int, backoff: float
    ) -> None:
        self._retries = retries
        self._backoff = backoff
        self._dice = random.Random()  # its own, so that retries leave the run's random state alone
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=httpx.Timeout(timeout, pool=None),
            limits=httpx.Limits(max_connections=max_in_flight, max_keepalive_connections=max_in_flight),
            # A proxy from the environment cannot reach this machine's own loopback.
            mounts={"all://localhost": None, "all://127.0.0.1": None},
        )

    def request(
        self, method: str, url: str, body: Mapping[str, Any] | None = None, retry: bool = True
    ) -> Any:
        """Return the decoded JSON reply. Raises ServerError once retrying has not helped, or cannot."""
        attempt = 0
        while True:
            try:
                return self._once(method, url, body)
            except ServerError as error:
                if not (retry and error.passing and attempt < self._retries):
                    raise
                time.sleep(self._pause(attempt, error.retry_after))
                attempt += 1

    def close(self) -> None:
        self._client.close()

    def _once(self, method: str, url: str, body: Mapping[str, Any] | None) -> Any:
        try:
            response = self._client.request(method, url, json=body)
        except httpx.TimeoutException as error:
            raise ServerError(f"{url}: no answer within {self._client.timeout.read:g} s") from error
        except httpx.TransportError as error:
            raise ServerError(f"{url}: {error or type(error).__name__}") from error
        if not response.is_success:
            words = f"{url}: {response.status_code} {response.reason_phrase}: {_words(response)}"
            raise ServerError(words, response.status_code, _retry_after(response))
        try:
            return response.json()
        except ValueError as error:
            words = f"{url}: expected JSON, got {response.text[:200]!r}"
            raise ServerError(words, response.status_code) from error

    def _pause(self, attempt: int, retry_after: float | None) -> float:
        doubled = self._backoff * 2**attempt * self._dice.uniform(0.5, 1.5)
        return min(max(doubled, retry_after or 0.0), _LONGEST_PAUSE)


def _words(response: httpx.Response) -> str:
    """Return what the server says went wrong: the message of its JSON error, or the start of its text."""
    try:
        error = response.json()["error"]
        return str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, KeyError, TypeError):
        return response.text.strip()[:300] or "no text"


def _retry_after(response: httpx.Response) -> float | None:
    try:
        return float(response.headers["retry-after"])
    except (KeyError, ValueError):  # absent, or given as a date
        return None
