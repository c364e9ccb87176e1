"""``python -m hpedit build`` as a user runs it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from hpedit.__main__ import main
from hpedit.build.balance_report import balance_notes
from hpedit.build.filter import Scored, Tally
from hpedit.build.stage import Recipe, StageSummary
from hpedit.commands.build import build, details
from hpedit.miniature.data import write_data
from hpedit.miniature.rating import rate
from hpedit.records import read_cases
from hpedit.tasks import TASKS
from tests.support.photos import write_photo_dataset


def config(folder: Path, text: str = "") -> str:
    photos = write_photo_dataset(folder).folder
    (photos / "broken.png").write_bytes((photos / "coffee.png").read_bytes()[:1000])
    os.link(photos / "coffee.png", photos / "coffee-again.png")
    file = folder / "mine.yaml"
    file.write_text(
        f"work: {folder / 'work'}\ncollect:\n  folders: [{{path: {photos}}}]\n  min_side: 256\n{text}",
        encoding="utf-8",
    )
    return str(file)


def test_a_folder_of_photographs_becomes_a_data_set_and_a_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    main(["build", "--config", config(tmp_path), "--until", "deduplicate"])
    told = capsys.readouterr().out
    assert "damaged picture" in told
    report = json.loads((tmp_path / "work" / "build_report.json").read_text())
    counts = [(s["name"], s["records_in"], s["records_out"], s["quarantined"], s["left_out"]) for s in report]
    assert counts == [("collect", 8, 7, 1, 0), ("deduplicate", 7, 6, 0, 1)]


def test_flags_override_the_config(tmp_path: Path):
    main(["build", "--config", config(tmp_path), "--until", "deduplicate", "--collect.min_side", "400"])
    report = json.loads((tmp_path / "work" / "build_report.json").read_text())
    assert report[0]["left_out"] == 2  # the cat is 300 high, the astronaut 320 wide


def test_the_shipped_config_needs_only_photographs(tmp_path: Path):
    photos = write_photo_dataset(tmp_path).folder
    main(
        [
            *("build", "--config", "build.yaml", "--until", "deduplicate", "--work", str(tmp_path / "work")),
            *("--collect.folders", f"[{{path: {photos}, license: CC0}}]", "--collect.min_side", "256"),
        ]
    )
    report = json.loads((tmp_path / "work" / "build_report.json").read_text())
    assert report[-1]["records_out"] == 6


def test_the_miniature_is_built_without_any_server(tmp_path: Path):
    """From scenes to a published data set of which training and the exact rating can make use."""
    scenes, _ = write_data(tmp_path / "scenes", train=16, held_out=8)
    words = ["build", "--config", "build_miniature.yaml", "--work", str(tmp_path / "work")]
    words += ["--collect.datasets", f"[{{path: {scenes}, fields: hpedit, license: CC0}}]"]
    words += ["--balance.size=8", "--edit.sampling.num_steps=2", "--edit.sampling.samples_per_case=2"]
    main([*words, "--filter.rule=null", "--filter.difficulty.least=0.1"])
    [folder] = (tmp_path / "work").glob("*-publish-*")
    published, drawn = list(read_cases(str(folder))), {c.instruction: c for c in read_cases(str(scenes))}
    assert sorted(case.task for case in published) == sorted(TASKS)
    for case in published:
        assert case.target is not None
        assert case.target.read() == drawn[case.instruction].target.read()  # type: ignore[union-attr]
        source, target = (np.moveaxis(np.asarray(p.decode()), 2, 0) for p in (case.source, case.target))
        for candidate, score in zip(case.candidates, case.scores, strict=True):
            edit = np.moveaxis(np.asarray(candidate.image.decode()), 2, 0)
            assert score.value == pytest.approx(float(rate(source, edit, target).score))
    assert len({case.weight for case in published}) > 1
    assert "--data.val_data" not in (folder / "README.md").read_text(), "nothing is held out"


def test_an_unknown_stage_is_named(tmp_path: Path):
    with pytest.raises(
        ValueError, match=r"--until: wanted one of the stages collect, deduplicate.*got 'publsih'"
    ):
        main(["build", "--config", config(tmp_path), "--until", "publsih"])


def test_nothing_to_read_is_named():
    with pytest.raises(ValueError, match="collect: wanted folders or datasets, got neither"):
        build()


def test_what_was_chosen_is_shown_by_task(capsys: pytest.CaptureFixture[str]):
    tally = Tally()
    tally.add(Scored("relighting", (), 1), "unscored")
    notes = {
        "collect": {},
        "balance": balance_notes({("bokeh", "dog"): 7}, {("bokeh", "dog"): 3}, {"bokeh": 4}),
        "filter": tally.facts(),
    }
    kept = json.loads(json.dumps(notes))  # as a build that goes on reads them
    stages = [StageSummary(name, 1, 1, 0, 0, 0.0, {}, kept[name], {}) for name in kept]
    Console(width=120).print(*details(Recipe(tuple(stages))))
    told = capsys.readouterr().out
    [bokeh] = [line for line in told.splitlines() if "bokeh" in line]
    assert [cell.strip() for cell in bokeh.split("│")[2:5]] == ["7", "4", "3"]
    assert "relighting" in told
    assert "1 unscored" in told
