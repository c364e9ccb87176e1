from collections.abc import Callable

import pytest
import torch

from hpedit.editors.flux_kontext import FluxKontextEditor
from hpedit.miniature.random_checkpoints import TransformerSize, make_flux_kontext
from hpedit.types import Guidance
from tests.editors.conftest import STEPS, Subject, as_pil, random_batch


def test_a_reference_of_ones_own_area_equals_the_pipeline_without_resizing(
    checkpoints: dict[str, str],
) -> None:
    editor = FluxKontextEditor(
        checkpoints["kontext"], dtype="float32", reference_area=32 * 48, max_text_length=32
    )
    editor.load()
    editor.pipeline.set_progress_bar_config(disable=True)
    batch = random_batch(["Blur it"], size=(48, 80), source_size=(32, 48))
    cond = editor.collate(editor.encode(batch, negative=False))
    assert cond.grids == ((3, 5), (2, 3))
    noise = torch.randn(1, *editor.latent_shape(batch.size))
    with torch.no_grad():
        v = editor.velocity(noise, torch.ones(1), cond, Guidance(embedded=2.5))
    latents = editor.pipeline(
        image=as_pil(batch.sources[0][0]),
        prompt="Blur it",
        guidance_scale=2.5,
        height=48,
        width=80,
        max_area=48 * 80,
        num_inference_steps=1,
        latents=noise,
        output_type="latent",
        max_sequence_length=32,
        _auto_resize=False,
    ).images
    assert torch.equal(noise - v, latents)


def test_the_embedded_scale_changes_the_velocity_and_must_be_given(
    subjects: Callable[[str], Subject],
) -> None:
    editor = subjects("kontext").editor
    batch = random_batch(["Blur it"], size=(48, 80), source_size=(48, 80))
    cond = editor.collate(editor.encode(batch, negative=False))
    x_t, t = torch.randn(1, *editor.latent_shape(batch.size)), torch.tensor([0.5])
    with torch.no_grad():
        low, high = (editor.velocity(x_t, t, cond, Guidance(embedded=g)) for g in (1.0, 5.0))
    assert (low - high).abs().max() > 1e-4
    with pytest.raises(ValueError, match=r"guidance.embedded: wanted a scale"):
        editor.velocity(x_t, t, cond, Guidance())


def test_a_transformer_without_embedded_guidance_works_and_refuses_a_scale(tmp_path) -> None:
    editor = FluxKontextEditor(
        str(make_flux_kontext(tmp_path, TransformerSize(guidance_embeds=False))),
        dtype="float32",
        max_text_length=32,
    )
    editor.load()
    batch = random_batch(["Blur it"], size=(48, 80), source_size=(48, 80))
    cond = editor.collate(editor.encode(batch, negative=False))
    x_t, t = torch.randn(1, *editor.latent_shape(batch.size)), torch.tensor([0.5])
    assert editor.velocity(x_t, t, cond, Guidance()).shape == x_t.shape
    assert editor.sigmas(STEPS, batch.size).shape == (STEPS + 1,)
    with pytest.raises(ValueError, match=r"guidance.embedded: this transformer has none"):
        editor.velocity(x_t, t, cond, Guidance(embedded=2.5))
