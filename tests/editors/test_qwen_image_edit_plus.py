from collections.abc import Callable

import pytest
import torch

from hpedit.editors.qwen_image_edit_plus import QwenImageEditPlusEditor
from hpedit.types import Guidance
from tests.editors.conftest import CONDITION_AREA, REFERENCE_AREA, Subject, as_pil, random_batch


def test_a_smaller_reference_means_fewer_tokens_for_the_same_edit(checkpoints: dict[str, str]) -> None:
    editor = QwenImageEditPlusEditor(
        checkpoints["plus"], dtype="float32", reference_area=32 * 32, condition_area=CONDITION_AREA
    )
    editor.load()
    batch = random_batch(["Blur it"], size=(96, 64), source_size=(96, 64))
    row = editor.encode(batch, negative=False)[0]
    assert row.grids == ((1, 6, 4), (1, 2, 2))
    assert row.references.shape == (1, 4, 64)


def test_the_text_tokens_hold_the_picture_and_the_instruction(subjects: Callable[[str], Subject]) -> None:
    editor = subjects("plus").editor
    words = random_batch(["Blur it", "Remove it"], size=(48, 80), source_size=(48, 80))
    pictures = random_batch(["Blur it", "Blur it"], size=(48, 80), source_size=(48, 80))
    blur, remove = editor.encode(words, negative=False)
    first, second = editor.encode(pictures, negative=False)
    assert blur.text.shape != remove.text.shape or not torch.equal(blur.text, remove.text)
    assert first.text.shape == second.text.shape
    assert (first.text - second.text).abs().max() > 1e-3


def test_conditions_carry_no_gradient_and_can_be_trained_on(subjects: Callable[[str], Subject]) -> None:
    batch = random_batch(["Blur it"], size=(48, 80), source_size=(48, 80))
    row = subjects("plus").editor.encode(batch, negative=False)[0]
    assert not row.text.requires_grad
    assert not row.text.is_inference()


def test_mrope_gives_picture_tokens_their_rows_and_columns(checkpoints: dict[str, str]) -> None:
    """Against the text encoder called with everything that its processor returns."""
    editor = QwenImageEditPlusEditor(
        checkpoints["plus"],
        dtype="float32",
        reference_area=REFERENCE_AREA,
        condition_area=CONDITION_AREA,
        mrope=True,
    )
    editor.load()
    batch = random_batch(["Blur it"], size=(64, 64), source_size=(64, 64))
    text = editor.encode(batch, negative=False)[0].text
    pipeline = editor.pipeline
    prompt = "Picture 1: <|vision_start|><|image_pad|><|vision_end|>Blur it"
    inputs = pipeline.processor(
        text=[pipeline.prompt_template_encode.format(prompt)],
        images=[as_pil(batch.sources[0][0])],
        return_tensors="pt",
    )
    with torch.no_grad():
        hidden = pipeline.text_encoder(**inputs, output_hidden_states=True).hidden_states[-1]
    torch.testing.assert_close(text, hidden[:, 64:], rtol=0, atol=1e-6)
    editor.mrope = False
    assert (editor.encode(batch, negative=False)[0].text - text).abs().max() > 1e-4


def test_embedded_guidance_is_refused(subjects: Callable[[str], Subject]) -> None:
    editor = subjects("plus").editor
    batch = random_batch(["Blur it"], size=(48, 80), source_size=(48, 80))
    cond = editor.collate(editor.encode(batch, negative=False))
    x_t = torch.randn(1, *editor.latent_shape(batch.size))
    with pytest.raises(ValueError, match=r"guidance.embedded: Qwen-Image-Edit has none"):
        editor.velocity(x_t, torch.tensor([0.5]), cond, Guidance(embedded=3.5))
