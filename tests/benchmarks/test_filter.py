"""The experiment with the hard-case filter: which data a run gets, and what the report says of the runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.filter import FILTERS, gains, published
from benchmarks.quickstarts import Quickstart, ends, smoothed

SETTINGS = {
    "unfiltered": {"rule": None, "difficulty": None},
    "filtered": {"rule": {"solved": 4.0}, "difficulty": None},
    "weighted": {"rule": None, "difficulty": {"least": 0.1}},
}


def test_a_data_set_is_found_by_the_filter_that_made_it(tmp_path: Path):
    for number, (name, settings) in enumerate(SETTINGS.items()):
        folder = tmp_path / f"08-publish-{number}"
        folder.mkdir()
        stages = [{"name": "score", "settings": {}}, {"name": "filter", "settings": settings}]
        (folder / "recipe.json").write_text(json.dumps({"publish": name, "stages": stages}))
    for name in FILTERS:
        recipe = json.loads((published(tmp_path, name) / "recipe.json").read_text())
        assert recipe["publish"] == name


def test_a_data_set_that_was_not_built_is_named(tmp_path: Path):
    with pytest.raises(ValueError, match="wanted weighted cases published in"):
        published(tmp_path, "weighted")


def run(variant: str, seed: int, *scores: float) -> Quickstart:
    return Quickstart(variant, seed, list(range(len(scores))), list(scores), {})


def test_gains_are_compared_within_a_seed():
    runs = [run("unfiltered", 0, 2.0, 2.9, 3.0), run("unfiltered", 1, 2.0, 3.5)]
    first, second = gains([*runs, run("filtered", 0, 2.0, 3.25), run("filtered", 2, 2.0, 9.0)])
    assert first == "unfiltered: gain +1.250 +- 0.35 (each: +1.00, +1.50)"
    assert second.endswith("against unfiltered, seed by seed, +0.250 (each: +0.25)")


def test_curves_are_smoothed_over_the_last_ten_rounds():
    curve = [float(n) for n in range(30)]
    assert smoothed(curve)[0] == 0.0
    assert smoothed(curve)[29] == pytest.approx(24.5)
    assert ends(curve) == "4.50 -> 24.50"
