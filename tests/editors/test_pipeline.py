"""Loading and moving editors, and what they say when something is missing."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from hpedit.dead_layers import dead_layers
from hpedit.editors.qwen_image_edit import QwenImageEditEditor
from hpedit.editors.qwen_image_edit_plus import QwenImageEditPlusEditor
from hpedit.types import EditBatch
from tests.editors.conftest import Subject, random_batch

EDITORS = ["plus", "edit", "kontext"]


def test_constructing_reads_nothing_and_use_before_load_is_refused() -> None:
    editor = QwenImageEditPlusEditor("./nowhere")
    with pytest.raises(RuntimeError, match="not loaded"):
        _ = editor.transformer


@pytest.mark.parametrize("model", ["./nowhere", "/nowhere/at/all", "some/folder/deep"])
def test_a_missing_folder_is_named(model: str) -> None:
    with pytest.raises(ValueError, match=f"model: no such folder: '{model}'"):
        QwenImageEditPlusEditor(model).load()


@pytest.mark.filterwarnings("ignore:The `local_dir_use_symlinks`:UserWarning")
def test_an_id_that_the_hub_does_not_give_is_named() -> None:
    with pytest.raises(ValueError, match="'nobody/nothing' is neither a folder"):
        QwenImageEditPlusEditor("nobody/nothing", local_files_only=True).load()


def test_the_weights_of_another_editor_are_refused(checkpoints: dict[str, str]) -> None:
    with pytest.raises(
        ValueError, match="wanted the weights of a QwenImageEditPipeline, got a FluxKontextPipeline"
    ):
        QwenImageEditEditor(checkpoints["kontext"]).load()


def test_a_folder_without_a_pipeline_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="model: "):
        QwenImageEditEditor(str(tmp_path)).load()


def test_loading_twice_reads_once(load_subject: Callable[[str], Subject]) -> None:
    editor = load_subject("plus").editor
    before = editor.transformer
    editor.load()
    assert editor.transformer is before


def test_weights_have_the_precision_asked_for(checkpoints: dict[str, str]) -> None:
    editor = QwenImageEditPlusEditor(checkpoints["plus"], dtype="bfloat16")
    editor.load()
    modules = [m for m in editor.pipeline.components.values() if isinstance(m, nn.Module)]
    assert len(modules) == 3
    assert {p.dtype for module in modules for p in module.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("name", EDITORS)
def test_all_but_the_transformer_is_frozen(subjects: Callable[[str], Subject], name: str) -> None:
    pipeline = subjects(name).editor.pipeline
    for key, module in pipeline.components.items():
        if isinstance(module, nn.Module):
            assert not module.training
            assert any(p.requires_grad for p in module.parameters()) == (key == "transformer")


@pytest.mark.parametrize("name", EDITORS)
def test_every_trainable_weight_gets_a_gradient_and_no_frozen_one_would(
    load_subject: Callable[[str], Subject], name: str
) -> None:
    subject = load_subject(name)
    editor = subject.editor
    batch = random_batch(["Blur it"], size=(48, 80), source_size=(48, 80))
    cond = editor.collate(editor.encode(batch, negative=False))
    trainable = {n for n, p in editor.transformer.named_parameters() if p.requires_grad}
    editor.transformer.requires_grad_(True)
    x_t = torch.randn(1, *editor.latent_shape(batch.size))
    editor.velocity(x_t, torch.tensor([0.5]), cond, subject.plain).square().sum().backward()
    reached = {n for n, p in editor.transformer.named_parameters() if p.grad is not None and p.grad.any()}
    everything = {n for n, _ in editor.transformer.named_parameters()}
    dead = {
        n for n in everything if any(n.startswith(f"{layer}.") for layer in dead_layers(editor.transformer))
    }
    assert reached <= trainable
    assert trainable == everything - dead
    # A bias of the keys moves all scores of a query alike, so softmax drops it; rounding decides if it shows.
    assert all("_k" in n and n.endswith("bias") for n in trainable - reached)


@pytest.mark.parametrize("name", EDITORS)
def test_encoders_and_autoencoder_move_apart_from_each_other(
    load_subject: Callable[[str], Subject], name: str
) -> None:
    editor = load_subject(name).editor
    editor.place("meta", encoders=True, decoder=False)
    devices = {
        key: next(module.parameters()).device.type
        for key, module in editor.pipeline.components.items()
        if isinstance(module, nn.Module)
    }
    assert {key for key, device in devices.items() if device == "meta"} == {
        key for key in devices if key.startswith("text_encoder")
    }
    editor.place("meta", encoders=False, decoder=True)
    assert next(editor.pipeline.vae.parameters()).device.type == "meta"
    assert next(editor.transformer.parameters()).device.type == "cpu"


@pytest.mark.parametrize("name", EDITORS)
def test_another_transformer_predicts_inside_the_block_only(
    load_subject: Callable[[str], Subject], name: str
) -> None:
    subject = load_subject(name)
    editor = subject.editor
    batch = random_batch(["Blur it"], size=(48, 80), source_size=(48, 80))
    cond = editor.collate(editor.encode(batch, negative=False))
    x_t, t = torch.randn(1, *editor.latent_shape(batch.size)), torch.tensor([0.5])
    other = copy.deepcopy(editor.transformer)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.1)
        own = editor.velocity(x_t, t, cond, subject.plain)
        with editor.using(other):
            assert (editor.velocity(x_t, t, cond, subject.plain) - own).abs().max() > 1e-3
        assert torch.equal(editor.velocity(x_t, t, cond, subject.plain), own)


@pytest.mark.parametrize("size", [(50, 80), (48, 0)])
def test_an_edit_that_is_no_whole_number_of_tokens_is_refused(
    subjects: Callable[[str], Subject], size: tuple[int, int]
) -> None:
    editor = subjects("plus").editor
    batch = random_batch(["Blur it"], size=size, source_size=(48, 80))
    for use in (lambda: editor.encode(batch, negative=False), lambda: editor.sigmas(4, size)):
        with pytest.raises(ValueError, match=f"size: wanted multiples of 16, got {size[0]} x {size[1]}"):
            use()


@pytest.mark.parametrize("name", EDITORS)
def test_cases_of_two_sizes_do_not_share_a_batch(subjects: Callable[[str], Subject], name: str) -> None:
    editor = subjects(name).editor

    def row(size: tuple[int, int]) -> list:
        return editor.encode(random_batch(["Blur it"], size=size, source_size=(48, 80)), negative=False)

    with pytest.raises(ValueError, match="one size in a batch"):
        editor.collate(row((48, 80)) + row((48, 64)))


@pytest.mark.parametrize("name", EDITORS)
def test_guidance_without_the_negative_prompt_is_refused(
    subjects: Callable[[str], Subject], name: str
) -> None:
    subject = subjects(name)
    editor = subject.editor
    batch = random_batch(["Blur it"], size=(48, 80), source_size=(48, 80))
    cond = editor.collate(editor.encode(batch, negative=False))
    x_t = torch.randn(1, *editor.latent_shape(batch.size))
    with pytest.raises(
        ValueError, match=r"guidance.true_cfg .*: conditions were encoded without the negative"
    ):
        editor.velocity(x_t, torch.tensor([0.5]), cond, subject.strong)


@pytest.mark.parametrize("name", ["edit", "kontext"])
def test_an_editor_of_one_picture_refuses_two(subjects: Callable[[str], Subject], name: str) -> None:
    batch: EditBatch = random_batch(["Blur it"], size=(48, 80), source_size=(48, 80), references=2)
    with pytest.raises(ValueError, match=r"sources: .* takes 1 picture a case, got 2"):
        subjects(name).editor.encode(batch, negative=False)


@pytest.mark.parametrize("name", EDITORS)
def test_conditioning_moves_with_everything_it_holds(subjects: Callable[[str], Subject], name: str) -> None:
    editor = subjects(name).editor
    batch = random_batch(["Blur it", "Remove the small red cube"], size=(48, 80), source_size=(48, 80))
    moved = editor.collate(editor.encode(batch, negative=True)).to("meta")

    def tensors(value: object) -> list[torch.Tensor]:
        if isinstance(value, torch.Tensor):
            return [value]
        return (
            [t for part in vars(value).values() for t in tensors(part)] if hasattr(value, "__dict__") else []
        )

    found = tensors(moved)
    assert len(found) >= 4
    assert {t.device.type for t in found} == {"meta"}
