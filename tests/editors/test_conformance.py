"""The editors against the diffusers pipelines they stand for: same weights, same noise, same pictures."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from hpedit.editors.base import Editor
from hpedit.sde import euler_step
from hpedit.types import Guidance
from tests.editors.conftest import STEPS, Subject, random_batch

EDITORS = ["plus", "plus2511", "edit", "kontext"]
LANDSCAPE = {"size": (48, 80), "source_size": (80, 130)}
PORTRAIT = {"size": (96, 64), "source_size": (120, 80)}
INSTRUCTIONS = [
    "Replace the red cube.",
    "Add a small dog to the left of the table and remove the cup.",
    "Blur it",
]


def sample(editor: Any, cond: Any, guidance: Guidance, noise: Tensor, size: tuple[int, int]) -> Tensor:
    """Walk from noise (N, L, C) to latents as a rollout with noise level 0 does."""
    sigmas = editor.sigmas(STEPS, size)
    x = noise
    for t, t_next in pairwise(sigmas):
        n = x.shape[0]
        with torch.no_grad():
            v = editor.velocity(x, t.expand(n), cond, guidance)
        x = euler_step(x, v, t.expand(n), t_next.expand(n))
    return x


def noise_for(editor: Any, size: tuple[int, int], n: int = 1) -> Tensor:
    return torch.randn(n, *editor.latent_shape(size), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("shape", [LANDSCAPE, PORTRAIT], ids=["landscape", "portrait"])
@pytest.mark.parametrize("guided", [False, True], ids=["plain", "cfg"])
@pytest.mark.parametrize("name", EDITORS)
def test_final_latents_and_picture_are_the_pipelines_own(
    subjects: Callable[[str], Subject], name: str, guided: bool, shape: dict
) -> None:
    subject = subjects(name)
    editor, guidance = subject.editor, subject.strong if guided else subject.plain
    batch = random_batch(INSTRUCTIONS[:1], **shape)
    noise = noise_for(editor, batch.size)
    cond = editor.collate(editor.encode(batch, negative=guided))
    x_0 = sample(editor, cond, guidance, noise, batch.size)
    assert (x_0 - noise).abs().max() > 0.1
    assert torch.equal(x_0, subject.pipe(batch, guidance, noise, "latent"))
    picture = editor.decode(x_0, batch.size)
    assert picture.shape == (1, 3, *batch.size)
    assert picture.std() > 0.01
    assert torch.equal(picture, subject.pipe(batch, guidance, noise, "pt"))


def test_two_references_give_the_pipelines_latents(subjects: Callable[[str], Subject]) -> None:
    subject = subjects("plus")
    batch = random_batch(INSTRUCTIONS[:1], **PORTRAIT, references=2)
    batch.sources[1] = batch.sources[1][..., :40]  # a second picture of another shape
    noise = noise_for(subject.editor, batch.size)
    cond = subject.editor.collate(subject.editor.encode(batch, negative=True))
    x_0 = sample(subject.editor, cond, subject.strong, noise, batch.size)
    assert len(cond.grids) == 3
    assert torch.equal(x_0, subject.pipe(batch, subject.strong, noise, "latent"))


@pytest.mark.parametrize("name", EDITORS)
def test_a_batch_of_different_cases_equals_one_by_one(subjects: Callable[[str], Subject], name: str) -> None:
    subject = subjects(name)
    editor = subject.editor
    batch = random_batch(INSTRUCTIONS, **LANDSCAPE)
    noise = noise_for(editor, batch.size, n=3)
    joined = sample(
        editor, editor.collate(editor.encode(batch, negative=True)), subject.strong, noise, batch.size
    )
    for i in range(3):
        alone = editor.collate(editor.encode(batch.select([i]), negative=True))
        expected = sample(editor, alone, subject.strong, noise[i : i + 1], batch.size)
        # Measured: 2.5e-6 at latents of up to 4.4. Other shapes of the same sums round differently.
        torch.testing.assert_close(joined[i : i + 1], expected, rtol=0, atol=2e-5)
    assert (joined[0] - joined[1]).abs().max() > 0.1


@pytest.mark.parametrize("name", EDITORS)
def test_repeated_rows_are_each_the_case_itself(subjects: Callable[[str], Subject], name: str) -> None:
    subject = subjects(name)
    editor = subject.editor
    batch = random_batch(INSTRUCTIONS[:2], **LANDSCAPE)
    rows = editor.encode(batch, negative=False)
    x_t = noise_for(editor, batch.size).repeat(3, 1, 1)
    with torch.no_grad():
        v = editor.velocity(
            x_t, torch.full((3,), 0.7), editor.collate([rows[1], rows[0], rows[1]]), subject.plain
        )
    torch.testing.assert_close(v[0], v[2], rtol=0, atol=2e-6)
    assert (v[0] - v[1]).abs().max() > 1e-3


@pytest.mark.parametrize("name", ["plus", "edit"])
def test_what_stands_in_the_padding_does_not_matter(subjects: Callable[[str], Subject], name: str) -> None:
    subject = subjects(name)
    editor = subject.editor
    batch = random_batch(INSTRUCTIONS[:2], **LANDSCAPE)
    cond = editor.collate(editor.encode(batch, negative=False))
    assert cond.text_mask is not None
    assert not cond.text_mask.all()
    x_t, t = noise_for(editor, batch.size, n=2), torch.full((2,), 0.5)
    with torch.no_grad():
        before = editor.velocity(x_t, t, cond, subject.plain)
        cond.text[~cond.text_mask] = 3.0
        after = editor.velocity(x_t, t, cond, subject.plain)
    torch.testing.assert_close(after, before, rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", EDITORS)
def test_each_time_of_a_batch_is_its_own(subjects: Callable[[str], Subject], name: str) -> None:
    subject = subjects(name)
    editor = subject.editor
    batch = random_batch(INSTRUCTIONS[:1], **LANDSCAPE)
    row = editor.encode(batch, negative=False)[0]
    x_t, t = noise_for(editor, batch.size, n=2), torch.tensor([0.9, 0.2])
    with torch.no_grad():
        both = editor.velocity(x_t, t, editor.collate([row, row]), subject.plain)
        for i in range(2):
            alone = editor.velocity(x_t[i : i + 1], t[i : i + 1], editor.collate([row]), subject.plain)
            torch.testing.assert_close(both[i : i + 1], alone, rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", EDITORS)
def test_target_latents_are_the_autoencoders(subjects: Callable[[str], Subject], name: str) -> None:
    """The reference path of the pipelines, already held against them, encodes the same picture alike."""
    editor = subjects(name).editor
    batch = random_batch(INSTRUCTIONS[:2], size=(64, 96), source_size=(64, 96))
    x_0 = editor.encode_target(batch.sources[0])
    rows = editor.encode(batch, negative=False)
    assert x_0.shape == (2, *editor.latent_shape((64, 96)))
    torch.testing.assert_close(x_0, torch.cat([row.references for row in rows]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", EDITORS)
def test_velocity_is_float32_in_bfloat16_and_close_to_float32(
    load_subject: Callable[[str], Subject], subjects: Callable[[str], Subject], name: str
) -> None:
    exact, half = subjects(name), load_subject(name)
    for component in half.editor.pipeline.components.values():
        if isinstance(component, torch.nn.Module):
            component.to(torch.bfloat16)
    batch = random_batch(INSTRUCTIONS[:1], **LANDSCAPE)
    x_t, t = noise_for(exact.editor, batch.size), torch.tensor([0.5])
    with torch.no_grad():
        v, v_half = (
            s.editor.velocity(x_t, t, s.editor.collate(s.editor.encode(batch, negative=True)), s.strong)
            for s in (exact, half)
        )
    assert v_half.dtype == torch.float32
    # bfloat16 keeps 8 bits; guidance and the tiny network's depth multiply its rounding.
    assert (v_half - v).norm() / v.norm() < 0.1


@pytest.mark.parametrize("name", EDITORS)
def test_every_editor_fits_the_protocol(subjects: Callable[[str], Subject], name: str) -> None:
    assert isinstance(subjects(name).editor, Editor)
