"""The prompts that come with the project, and those of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from hpedit.build.fingerprint import fingerprint
from hpedit.build.instructions import LANGUAGES, InstructionPrompts, load_instruction_prompts
from hpedit.build.writer import InstructionWriter
from hpedit.scorers.prompts import default_folder
from hpedit.tasks import TASKS
from tests.support.scripted_vlm import ScriptedBackend, good_reply


@pytest.fixture(scope="module")
def prompts() -> InstructionPrompts:
    return load_instruction_prompts()


def shipped(task: str) -> dict:
    return yaml.safe_load((default_folder() / "instructions" / f"{task}.yaml").read_text(encoding="utf-8"))


def write(folder: Path, task: str, record: dict) -> str:
    (folder / f"{task}.yaml").write_text(yaml.safe_dump(record, allow_unicode=True), encoding="utf-8")
    return str(folder)


def test_there_are_more_than_thirty_styles_each_described_in_two_languages(prompts: InstructionPrompts):
    styles = prompts.tasks["style_transfer"].draws["style"]
    assert styles.named
    assert len(styles.options) > 30
    for language in LANGUAGES:
        assert len({style.name(language).casefold() for style in styles.options}) == len(styles.options)
    assert all(len(style.about.split(",")) >= 2 for style in styles.options)


def test_options_are_drawn_alike_for_one_photo_and_all_come_up(prompts: InstructionPrompts):
    for task, prompt in prompts.tasks.items():
        for name, draw in prompt.draws.items():
            drawn = [draw.option(0, f"photo-{i}", task, name) for i in range(600)]
            assert drawn[:9] == [draw.option(0, f"photo-{i}", task, name) for i in range(9)]
            assert set(drawn) == set(draw.options)


def test_every_task_has_its_prompt(prompts: InstructionPrompts):
    assert set(prompts.tasks) == set(TASKS)
    assert {"direction", "quality"} <= set(prompts.tasks["relighting"].draws)
    assert {"region", "wording"} <= set(prompts.tasks["bokeh"].draws)


def test_a_prompt_of_ones_own_takes_the_place_of_one_and_changes_the_fingerprint(tmp_path: Path):
    folder = write(tmp_path, "bokeh", shipped("bokeh") | {"version": "mine"})
    own = load_instruction_prompts(folder)
    assert own.tasks["bokeh"].version == "mine"
    assert own.tasks["relighting"] == load_instruction_prompts().tasks["relighting"]
    backend = ScriptedBackend(good_reply)
    backend.says = None  # type: ignore[assignment]  # a lambda's name says nothing to a fingerprint
    first, second, third = (fingerprint(InstructionWriter(backend, f)) for f in (None, None, folder))
    assert first == second != third


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"draws": {"style": {"ask": "Style", "options": []}}}, r"draws\.style: wanted options"),
        ({"marks": {"en": ["style"], "zh": []}}, "marks: wanted some for each of en and zh, none for zh"),
        ({"draws": {"style": {"ask": "Style", "options": [{"en": "oil"}]}}}, "zh"),
        ({"fitz": "always"}, "fitz"),
        ({"fits": 3}, "fits"),
    ],
)
def test_what_is_wrong_with_a_prompt_is_named_with_its_file(tmp_path: Path, change: dict, words: str):
    folder = write(tmp_path, "style_transfer", shipped("style_transfer") | change)
    with pytest.raises(ValueError, match=rf"prompts: .*style_transfer\.yaml: (?s:.*){words}"):
        load_instruction_prompts(folder)


def test_a_folder_without_prompts_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"prompts: .* has none of common\.yaml"):
        load_instruction_prompts(str(tmp_path))
