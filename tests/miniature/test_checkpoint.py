"""The shipped editor: small, of the real classes, and as mixed as a real one, so that there is something to choose."""

import numpy as np
import pytest
import torch

from hpedit.editors.qwen_image_edit_plus import QwenImageEditPlusEditor
from hpedit.miniature import checkpoint_folder
from hpedit.miniature.checkpoint import new_autoencoder, write_untrained
from hpedit.miniature.examples import HELD_OUT, Example, example
from hpedit.miniature.rating import rate
from hpedit.sampling import EvalSettings, edit_cases
from hpedit.tasks import TASKS
from hpedit.types import EditBatch

SAMPLES = 12


def load(folder: str) -> QwenImageEditPlusEditor:
    editor = QwenImageEditPlusEditor(folder, dtype="float32", reference_area=64 * 64, condition_area=28 * 28)
    editor.load()
    return editor


def batch_of(cases: list[Example]) -> EditBatch:
    source, target = (
        torch.from_numpy(np.stack([getattr(c, n) for c in cases])) for n in ("source", "target")
    )
    ids, tasks, texts = ([getattr(c, n) for c in cases] for n in ("case_id", "task", "instruction"))
    return EditBatch(ids, tasks, texts, [""] * len(cases), [source], (64, 64), target)


@pytest.fixture(scope="module")
def scores() -> np.ndarray:
    """Exact scores of the base, (cases, samples); eight cases in a row are the eight tasks."""
    editor, rows = load("miniature"), []
    for start in range(HELD_OUT, HELD_OUT + 48, 16):
        cases = [example(n) for n in range(start, start + 16)]
        settings = EvalSettings(num_steps=6, samples_per_case=SAMPLES)
        edits = edit_cases(editor, batch_of(cases), settings, torch.device("cpu")).images.numpy()
        source, target = (
            np.repeat(np.stack([getattr(c, n) for c in cases]), SAMPLES, 0) for n in ("source", "target")
        )
        rows.append(rate(source, edits, target).score.reshape(16, SAMPLES))
    return np.concatenate(rows)


def test_it_fits_into_12_megabytes():
    assert sum(f.stat().st_size for f in checkpoint_folder().rglob("*") if f.is_file()) < 12e6


@pytest.mark.slow
def test_its_samples_are_neither_good_nor_hopeless(scores):
    assert 2.0 < scores.mean() < 3.2


@pytest.mark.slow
def test_its_samples_of_one_case_differ_much(scores):
    assert scores.std(axis=1).mean() > 1.0


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_good_samples_are_within_reach(scores, task):
    best = scores[TASKS.index(task) :: len(TASKS)].max(axis=1)
    assert best.mean() > 3.0


def test_the_text_tells_two_instructions_apart_in_few_tokens():
    editor = load("miniature")
    cases = batch_of([example(HELD_OUT), example(HELD_OUT + 8)])
    rows = editor.encode(cases, negative=False)
    assert all(row.text.shape[1] < 32 for row in rows)
    words = [row.text[0, -6] for row in rows]  # the last word before the end of the turn
    assert not torch.allclose(words[0], words[1], atol=0.1)


def test_an_untrained_editor_of_the_same_size_can_be_written(tmp_path):
    editor = load(str(write_untrained(tmp_path / "untrained", new_autoencoder())))
    shipped = load("miniature")
    sizes = [{n: p.shape for n, p in e.transformer.named_parameters()} for e in (editor, shipped)]
    assert sizes[0] == sizes[1]
