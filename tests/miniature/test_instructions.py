"""Instructions vary in wording, name everything the edit depends on, and are whole words to the tokenizer."""

import numpy as np
import pytest

from hpedit.miniature.examples import example
from hpedit.miniature.instructions import TEMPLATES, vocabulary_texts, write_instruction
from hpedit.miniature.tiny_tokenizers import qwen_tokenizer
from hpedit.tasks import TASKS


def test_every_task_has_several_templates():
    assert set(TEMPLATES) == set(TASKS)
    assert all(len(set(templates)) >= 4 for templates in TEMPLATES.values())


def test_one_edit_is_worded_in_several_ways():
    words = {"item": "red circle"}
    texts = {write_instruction("object_removal", words, np.random.default_rng(seed)) for seed in range(40)}
    assert len(texts) == 4
    assert all("red circle" in text for text in texts)


@pytest.mark.parametrize("task", TASKS)
def test_nothing_is_left_unfilled(task):
    first = TASKS.index(task)
    for case in map(example, range(first, first + 800, 8)):
        assert "{" not in case.instruction
        if task != "style_transfer":
            named = set(case.edit.words.values()) - {case.edit.words.get("texture")}
            assert all(word in case.instruction for word in named)


def test_every_word_is_one_token():
    tokenizer = qwen_tokenizer(vocabulary_texts(), 1024)
    for case in map(example, range(400)):
        text = "Picture 1: " + case.instruction
        assert len(tokenizer(text).input_ids) <= len(text.split()) + 3
