"""Imports point down only, as docs/architecture.md draws it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = ("train", "callbacks", "datamodules", "hpedit", "tests")
PURE = ("flow", "sde", "advantage", "losses")
# A file may import files of its own layer and below; what is not named lies in layer 2.
LAYERS = {
    0: ("types", "tasks"),
    1: (*PURE, "calibration.metrics"),
    3: ("rollout",),
    4: ("modules",),
    5: ("cli", "miniature", "build", "bench", "calibration", "rating", "scoring", "commands"),
}
FILES = [*sorted((ROOT / "hpedit").rglob("*.py")), *sorted(ROOT.glob("callbacks/*.py"))]
FILES += sorted(ROOT.glob("datamodules/*.py"))


def imported(source: str) -> Iterator[str]:
    """Yield the dotted names that a source imports, anywhere in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def layer(name: str) -> int:
    """Return the layer of a dotted name inside hpedit: of its file where LAYERS names it, else of its package."""
    for part in (".".join(name.split(".")[1:3]), name.split(".")[1]):
        for number, parts in LAYERS.items():
            if part in parts:
                return number
    return 2


def dotted(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts)


def violations(name: str, source: str) -> list[str]:
    """Name what a file of this dotted name must not import, of what it does."""
    package = name.split(".")[0]
    above = {"hpedit": ("train", "callbacks", "datamodules", "tests")}.get(package, ("train", "tests"))
    wrong = []
    for other in imported(source):
        top = other.split(".")[0]
        if top in above or (package == top == "hpedit" and "." in other and layer(other) > layer(name)):
            wrong.append(other)
        siblings = {"hpedit.editors", "hpedit.scorers"}
        mine, theirs = (".".join(n.split(".")[:2]) for n in (name, other))
        if {mine, theirs} == siblings:
            wrong.append(other)
    return wrong


@pytest.mark.parametrize("file", FILES, ids=dotted)
def test_imports_point_down(file: Path):
    assert violations(dotted(file), file.read_text()) == []


@pytest.mark.parametrize("part", PURE)
def test_the_mathematics_needs_torch_and_no_framework(part: str):
    source = (ROOT / "hpedit" / f"{part}.py").read_text()
    tops = {name.split(".")[0] for name in imported(source)}
    assert tops <= {
        "__future__",
        "collections",
        "dataclasses",
        "functools",
        "math",
        "typing",
        "torch",
        "numpy",
        "hpedit",
    }


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("hpedit.sde", "from hpedit.rollout import RolloutLoader"),
        ("hpedit.rollout", "import hpedit.modules.grpo"),
        ("hpedit.lora", "def f():\n    from callbacks.ema import TrainedWeightsEMA"),
        ("hpedit.scorers.pool", "from hpedit.editors import base"),
        ("callbacks.ema", "import train"),
    ],
)
def test_an_import_that_points_up_is_found(name: str, source: str):
    assert violations(name, source) != []
