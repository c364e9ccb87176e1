"""What a stage's result depends on, as plain data and as a short hash that names its folder."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

# Settings that say how fast, how patiently and at which address, but never what comes out.
HOW = frozenset(
    {
        *("workers", "max_failed", "device", "max_in_flight", "edits_at_once", "patience"),
        *("base_url", "api_key_env", "timeout", "retries", "backoff"),
    }
)


def describe(value: object, name: str = "settings") -> Any:
    """Return what identifies ``value`` as JSON-able data, without the settings of HOW.

    Dataclasses are their fields. An object of another class is its class and what it was constructed with, which it
    must keep in attributes of the same names (a leading underscore allowed), as the classes of hpedit do; where it
    keeps what it read instead of the path it was given (prompts), a change of the contents is seen too.

    Raises ValueError that names ``name`` where a constructor's argument is kept nowhere.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(k): describe(v, f"{name}.{k}") for k, v in value.items()}
    if isinstance(value, Sequence | set | frozenset):
        parts = [describe(v, f"{name}[{i}]") for i, v in enumerate(value)]
        return sorted(parts, key=json.dumps) if isinstance(value, set | frozenset) else parts
    if is_dataclass(value) and not isinstance(value, type):
        return _named(value, {f.name: getattr(value, f.name) for f in fields(value) if f.init}, name)
    if isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__")):
        return _class_path(value)
    if type(value).__module__ == "torch":
        return str(value)  # a dtype or a device
    return _named(value, _arguments(value, name), name)


def fingerprint(*parts: object) -> str:
    """Return 12 hexadecimal digits that change when a part does. Parts are described first."""
    text = json.dumps([describe(part) for part in parts], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _named(value: object, settings: Mapping[str, object], name: str) -> dict[str, Any]:
    kept = {k: describe(v, f"{name}.{k}") for k, v in settings.items() if k not in HOW}
    return {"class": _class_path(type(value)), **kept}


def _arguments(value: object, name: str) -> dict[str, object]:
    found: dict[str, object] = {}
    for parameter in inspect.signature(type(value)).parameters:
        kept = next((a for a in (parameter, f"_{parameter}") if hasattr(value, a)), None)
        if kept is None and parameter not in HOW:
            raise ValueError(
                f"{name}: {type(value).__name__} does not keep its argument {parameter!r} in an attribute of that "
                "name, so that a build could not tell when it changes"
            )
        if kept is not None:
            found[parameter] = getattr(value, kept)
    return found


def _class_path(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"
