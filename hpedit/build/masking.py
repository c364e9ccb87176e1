"""What a published reason must not tell: where a server is, and how one gets in."""

from __future__ import annotations

import os
import re

_HIDDEN = "***"
_ADDRESS = re.compile(r"\b([a-z][a-z0-9+.-]*://)[^\s'\"<>(){},;]*(?<![.:])", re.I)
_HOSTS = (
    re.compile(r"(?<=host=)(['\"]).*?\1", re.I),
    re.compile(r"\blocalhost\b(?::\d+)?", re.I),
    re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])(?::\d+)?"),
    re.compile(r"\[[0-9a-f]*:[0-9a-f:.]*\](?::\d+)?", re.I),
    re.compile(r"\b(?:[\w-]+\.)+[a-z]{2,}:\d+\b", re.I),
    re.compile(r"\b[a-z][\w-]*:\d{4,5}\b", re.I),
)
_KEYS = (
    re.compile(r"(?<=\bbearer )\S+", re.I),
    re.compile(r"(?<=\bapi[_-]key=)\S+", re.I),
    # As the great providers shape theirs; a server likes to repeat them, middle starred out or not.
    re.compile(r"\b(?:sk|pk|rk|hf|gsk|xai|AIza|ghp)[-_]?[\w*-]{12,}"),
)
_SECRET_NAMES = ("KEY", "TOKEN", "SECRET", "PASSWORD")
_SHORTEST = 6  # of a secret; anything shorter is a word like "none"


def masked(text: str) -> str:
    """Return ``text`` with addresses and keys starred out, those in the environment's own secrets included."""
    for secret in _secrets():
        text = text.replace(secret, _HIDDEN)
    text = _ADDRESS.sub(rf"\1{_HIDDEN}", text)
    for pattern in (*_HOSTS, *_KEYS):
        text = pattern.sub(_HIDDEN, text)
    return text


def _secrets() -> list[str]:
    """Return the values of environment variables that are named like secrets, the longest first."""
    named = {v for k, v in os.environ.items() if k.upper().endswith(_SECRET_NAMES)}
    return sorted((v for v in named if len(v) >= _SHORTEST), key=len, reverse=True)
