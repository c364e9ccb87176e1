"""Replies are read leniently and instructions judged strictly."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpedit.build.instructions import Language, load_instruction_prompts
from hpedit.build.replies import read_instruction, read_object, read_task
from hpedit.tasks import TASKS

GOOD = "Keep the elephant sharp and blur the shelf behind it."
GOOD_ZH = "保持大象清晰,让身后的架子虚化。"


def reply(instruction: object = GOOD, fits: object = True) -> str:
    return json.dumps({"seen": "An elephant.", "fits": fits, "instruction": instruction})


def read(text: str, language: Language = "en", names: tuple[str, ...] = ()) -> str | None:
    return read_instruction(text, language, ("blur", "虚化"), names)


@pytest.mark.parametrize(
    "text",
    [
        reply(),
        f"```json\n{reply()}\n```",
        f"Sure! {reply()} I hope that helps {{smile}}.",
        f'<think>perhaps {{"fits": false}}?</think>\n{reply()}',
        reply(fits="true"),
        f"  {reply(f'  {GOOD} ')}",
    ],
)
def test_an_instruction_is_found_whatever_is_around_it(text: str):
    assert read(text) == GOOD


def test_what_does_not_fit_has_no_instruction():
    assert read(reply("", fits=False)) is None
    assert read(reply(GOOD, fits="no")) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("5", "no complete JSON object"),
        ('{"fits": true, "instruction": "Blur the', "no complete JSON object"),
        ('["fits"]', "no complete JSON object"),
        (reply(fits=None), '"fits" is neither'),
        (reply(""), '"instruction" is no text'),
        (reply(["Blur it."]), '"instruction" is no text'),
        (reply("**Blur** the shelf behind the elephant."), "markup"),
        (reply("- Blur the shelf behind the elephant."), "markup"),
        (reply("Blur the shelf.\nKeep the elephant."), "markup"),
        (reply("Blur the shelf <|im_end|> behind it."), "markup"),
        (reply("Blur the background of image A softly."), "image A"),
        (reply("Blur the background of Photo 2 softly."), "image A"),
        (reply("Sure, blur the shelf behind the elephant."), "talk"),
        (reply("Instruction: blur the shelf behind it."), "talk"),
        (reply("Blur it."), "too short: wanted 3 to 80 words"),
        (reply("blur the shelf " * 40), "too long"),
        (reply(GOOD_ZH), "not in the language en"),
        (reply("Remove the elephant from the shelf."), "does not ask for this task"),
    ],
)
def test_nonsense_is_named(text: str, words: str):
    with pytest.raises(ValueError, match=words):
        read(text)


def test_chinese_is_judged_as_chinese():
    assert read(reply(GOOD_ZH), "zh") == GOOD_ZH
    for text, words in (
        (GOOD, "not in the language zh"),
        ("虚化它", "too short: wanted 4 to 160 characters"),
        ("把图A的背景虚化一些。", "image A"),
        ("好的。虚化背景里的架子。", "talk"),
        ("移除架子上的大象。", "does not ask for this task"),
    ):
        with pytest.raises(ValueError, match=words):
            read(reply(text), "zh")


def test_a_capital_letter_tells_a_label_from_an_article():
    assert read(reply("Give the picture a blur behind the elephant."))


def test_a_wanted_name_must_be_there_in_any_case_of_letters():
    assert read(reply("Blur it like a UKIYO-E print."), names=("ukiyo-e",))
    with pytest.raises(ValueError, match="does not name 'LEGO'"):
        read(reply(), names=("LEGO",))


def test_a_task_is_read_by_its_name_or_as_none():
    assert read_task('{"task": "Object Removal"}') == "object_removal"
    assert read_task('{"task": "none"}') is None
    with pytest.raises(ValueError, match="none of the names"):
        read_task('{"task": "crop"}')
    with pytest.raises(ValueError, match="is no text"):
        read_task('{"tusk": 1}')


@given(st.text())
def test_any_text_is_an_object_or_a_value_error(text: str):
    with suppress(ValueError):
        assert isinstance(read_object(text), dict)


@given(
    st.recursive(st.none() | st.integers() | st.text(), lambda c: st.lists(c) | st.dictionaries(st.text(), c))
)
def test_an_object_is_read_back_from_the_midst_of_words(value: object):
    record = {"task": value}
    assert read_object(f"My answer: {json.dumps(record)}.") == record


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_examples_that_the_vlm_is_shown_would_be_taken(task: str, language: Language):
    prompt = load_instruction_prompts().tasks[task]
    for example in prompt.examples[language]:
        assert read_instruction(reply(example), language, prompt.marks[language], ()) == example
