"""What a scoring prompt is: its YAML schema, checked when read, and the same YAML written back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Literal

import yaml

from hpedit.scorers.digits import DIGITS
from hpedit.scorers.score_map import AffineMap, IsotonicMap, ScoreMap

Order = Literal["rubric_first", "images_first"]
_REQUIRED = {"version", "provenance", "order", "preamble", "checks", "scale", "answer"}
_OPTIONAL = {"caps", "calibration", "map"}
_CALIBRATION = {"data", "date", "n", "splits", "engine", "before", "after"}
_MAPS: dict[str, set[str]] = {"affine": {"slope", "intercept"}, "isotonic": {"scores", "ratings"}}


@dataclass(frozen=True)
class CalibrationRecord:
    """How a prompt's version came to agree with people.

    Attributes:
        data: name of the human ratings.
        date: day of the calibration, ISO ("2026-11-21").
        n: rated edits in all.
        splits: rated edits of each split by its name.
        engine: what rewrote the checks, and by which settings.
        before, after: agreement figures by name, of the version it started from and of this one.
    """

    data: str
    date: str
    n: int
    splits: Mapping[str, int]
    engine: str
    before: Mapping[str, float]
    after: Mapping[str, float]


@dataclass(frozen=True)
class ScoringPrompt:
    """How one task's edits are judged.

    Attributes:
        name: a canonical task, or "base" for the task-blind prompt.
        version: changes whenever the wording, the order or the map does; scores of two versions do not compare.
        provenance: where the criteria come from.
        order: "rubric_first" puts what many requests share in front (rubric, instruction, source, edit), so that a
            server with a prefix cache reads it once; "images_first" is the order of the paper's figures.
        preamble: what the judge is and is to do.
        checks: task-specific criteria, may be empty.
        caps: findings that bound the score from above, may be empty.
        scale: what each score from 0 to 5 stands for.
        answer: the form of the reply.
        calibration: how the version came about, where people's ratings shaped it.
        map: from the expectation that the judge expresses to people's scale, where one was fitted.
    """

    name: str
    version: str
    provenance: str
    order: Order
    preamble: str
    checks: tuple[str, ...]
    caps: tuple[str, ...]
    scale: tuple[str, ...]
    answer: str
    calibration: CalibrationRecord | None = None
    map: ScoreMap | None = None


def parse_prompt(text: str, name: str, source: str) -> ScoringPrompt:
    """Read a prompt's YAML. Raises ValueError that names ``source``, the field at fault, and what was wanted."""
    try:
        return _prompt(_mapping(_yaml(text), "the file"), name)
    except ValueError as error:
        raise ValueError(f"prompts: {source}: {error}") from error


def dump_prompt(prompt: ScoringPrompt) -> str:
    """Return the YAML that ``parse_prompt`` reads back as an equal prompt (its name is the file's)."""
    record: dict[str, Any] = {
        "version": prompt.version,
        "provenance": prompt.provenance,
        "order": prompt.order,
        "preamble": prompt.preamble,
        "checks": list(prompt.checks),
        "caps": list(prompt.caps),
        "scale": dict(enumerate(prompt.scale)),
        "answer": prompt.answer,
    }
    if not prompt.caps:
        del record["caps"]
    if prompt.map is not None:
        numbers = {field: _plain(value) for field, value in asdict(prompt.map).items()}
        record["map"] = {"kind": prompt.map.kind, **numbers}
    if prompt.calibration is not None:
        record["calibration"] = {field: _plain(value) for field, value in vars(prompt.calibration).items()}
    return yaml.safe_dump(record, sort_keys=False, allow_unicode=True, width=100)


def _plain(value: Any) -> Any:
    """Turn read-only mappings and tuples into what YAML knows."""
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value


def _yaml(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {error}") from error


def _prompt(record: dict[str, Any], name: str) -> ScoringPrompt:
    _expect_fields(record, _REQUIRED, _OPTIONAL)
    return ScoringPrompt(
        name=name,
        version=_text(record, "version"),
        provenance=_text(record, "provenance"),
        order=_order(record),
        preamble=_text(record, "preamble"),
        checks=_lines(record, "checks"),
        caps=_lines(record, "caps"),
        scale=_scale(record),
        answer=_text(record, "answer"),
        calibration=_calibration(record["calibration"]) if "calibration" in record else None,
        map=_map(record["map"]) if "map" in record else None,
    )


def _calibration(value: Any) -> CalibrationRecord:
    record = _mapping(value, "calibration")
    _expect_fields(record, _CALIBRATION, set(), "calibration: ")
    return CalibrationRecord(
        data=_text(record, "data", "calibration."),
        date=_day(record["date"]),
        n=_count(record["n"], "calibration.n"),
        splits={k: _count(v, f"calibration.splits.{k}") for k, v in _named(record, "splits").items()},
        engine=_text(record, "engine", "calibration."),
        before={k: _number(v, f"calibration.before.{k}") for k, v in _named(record, "before").items()},
        after={k: _number(v, f"calibration.after.{k}") for k, v in _named(record, "after").items()},
    )


def _map(value: Any) -> ScoreMap:
    record = _mapping(value, "map")
    kind = record.get("kind")
    if kind not in _MAPS:
        raise ValueError(f"map.kind: expected {' or '.join(_MAPS)}, got {kind!r}")
    _expect_fields(record, {"kind", *_MAPS[kind]}, set(), "map: ")
    if kind == "affine":
        return AffineMap(_number(record["slope"], "map.slope"), _number(record["intercept"], "map.intercept"))
    return IsotonicMap(_numbers(record, "scores"), _numbers(record, "ratings"))


def _expect_fields(record: dict[str, Any], required: set[str], optional: set[str], where: str = "") -> None:
    if missing := required - record.keys():
        raise ValueError(f"{where}missing field {', '.join(sorted(missing))}")
    if unknown := record.keys() - required - optional:
        raise ValueError(f"{where}unknown field {', '.join(sorted(map(str, unknown)))}")


def _mapping(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what}: expected a mapping of fields, got {type(value).__name__}")
    return value


def _named(record: dict[str, Any], field: str) -> dict[str, Any]:
    value = _mapping(record[field], f"calibration.{field}")
    if not all(isinstance(key, str) for key in value):
        raise ValueError(f"calibration.{field}: expected names, got {', '.join(map(repr, value))}")
    return value


def _text(record: dict[str, Any], field: str, where: str = "") -> str:
    value = record[field]
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{where}{field}: expected text, got {value!r}")
    return value.strip()


def _lines(record: dict[str, Any], field: str) -> tuple[str, ...]:
    value = record.get(field, [])
    if not isinstance(value, list) or not all(isinstance(line, str) and line.strip() for line in value):
        raise ValueError(f"{field}: expected a list of texts, got {value!r}")
    return tuple(line.strip() for line in value)


def _order(record: dict[str, Any]) -> Order:
    value = record["order"]
    if value not in ("rubric_first", "images_first"):
        raise ValueError(f"order: expected rubric_first or images_first, got {value!r}")
    return value


def _scale(record: dict[str, Any]) -> tuple[str, ...]:
    value = record["scale"]
    if not isinstance(value, dict) or set(value) != set(range(len(DIGITS))):
        raise ValueError(f"scale: expected one line for each of 0 to 5, got {value!r}")
    lines = {f"scale {score}": line for score, line in value.items()}
    return tuple(_text(lines, f"scale {digit}") for digit in DIGITS)


def _day(value: Any) -> str:
    try:
        return (value if isinstance(value, date) else date.fromisoformat(value)).isoformat()
    except (TypeError, ValueError):
        raise ValueError(f'calibration.date: expected a day such as "2026-11-21", got {value!r}') from None


def _count(value: Any, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{where}: expected a number of edits, got {value!r}")
    return value


def _number(value: Any, where: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"{where}: expected a finite number, got {value!r}")
    return float(value)


def _numbers(record: dict[str, Any], field: str) -> tuple[float, ...]:
    value = record[field]
    if not isinstance(value, list):
        raise ValueError(f"map.{field}: expected a list of numbers, got {value!r}")
    return tuple(_number(number, f"map.{field}") for number in value)
