"""The adapter's files, read back by diffusers itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch import Tensor
from torch.distributed.fsdp import fully_shard

from hpedit import lora_files
from hpedit.lora import LoRA, add_lora, load_lora, save_lora, save_lora_comfyui, trainable_state_dict
from tests.editors.conftest import Subject, random_batch
from tests.editors.test_conformance import noise_for, sample

EDITORS = ["plus", "plus2511", "edit", "kontext"]
SIZE = (48, 80)


def adapt(subject: Subject, lora: LoRA | None = None, seed: int = 3) -> Any:
    """Add an adapter with random weights to a fresh editor and return its transformer."""
    transformer = subject.editor.transformer
    add_lora(transformer, lora or LoRA(rank=4, alpha=8), subject.editor.default_lora_targets)
    generator = torch.Generator().manual_seed(seed)
    for parameter in trainable_state_dict(transformer).values():
        parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    return transformer


def edit(subject: Subject) -> Tensor:
    """Return the final latents of one case, through the editor."""
    batch = random_batch(["Blur it"], size=SIZE, source_size=SIZE)
    cond = subject.editor.collate(subject.editor.encode(batch, negative=True))
    return sample(subject.editor, cond, subject.strong, noise_for(subject.editor, SIZE), SIZE)


def edit_with_pipeline(subject: Subject) -> Tensor:
    batch = random_batch(["Blur it"], size=SIZE, source_size=SIZE)
    return subject.pipe(batch, subject.strong, noise_for(subject.editor, SIZE), "latent")


@pytest.mark.parametrize("name", EDITORS)
def test_a_gradient_reaches_every_adapter_weight(load_subject: Callable[[str], Subject], name: str) -> None:
    subject = load_subject(name)
    transformer, editor = adapt(subject), subject.editor
    batch = random_batch(["Blur it", "Remove the small red cube"], size=SIZE, source_size=SIZE)
    cond = editor.collate(editor.encode(batch, negative=True))
    v = editor.velocity(noise_for(editor, SIZE, n=2), torch.tensor([0.9, 0.4]), cond, subject.strong)
    v.square().sum().backward()
    trained = {n: p for n, p in transformer.named_parameters() if p.requires_grad}
    assert len(trained) == len(trainable_state_dict(transformer)) > 0
    assert [n for n, p in trained.items() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("name", EDITORS)
def test_diffusers_loads_the_adapter_and_makes_the_same_picture(
    load_subject: Callable[[str], Subject], tmp_path: Path, name: str
) -> None:
    trained, fresh = load_subject(name), load_subject(name)
    save_lora(adapt(trained), tmp_path)
    expected, base = edit(trained), edit_with_pipeline(fresh)
    fresh.editor.pipeline.load_lora_weights(tmp_path)
    assert torch.equal(edit_with_pipeline(fresh), expected)
    assert (expected - base).abs().max() > 0.01


@pytest.mark.parametrize("name", ["plus", "kontext"])
def test_diffusers_reads_comfyuis_names_and_scales_too(
    load_subject: Callable[[str], Subject], tmp_path: Path, name: str
) -> None:
    trained, fresh = load_subject(name), load_subject(name)
    path = save_lora_comfyui(adapt(trained), tmp_path)
    fresh.editor.pipeline.load_lora_weights(tmp_path, weight_name=path.name)
    # diffusers spreads alpha / rank over both matrices: the products round differently.
    torch.testing.assert_close(edit_with_pipeline(fresh), edit(trained), rtol=0, atol=1e-4)


@pytest.mark.parametrize(("name", "prefix"), [("plus", "diffusion_model"), ("kontext", "transformer")])
def test_comfyuis_file_holds_every_layer_with_its_scale(
    load_subject: Callable[[str], Subject], tmp_path: Path, name: str, prefix: str
) -> None:
    transformer = adapt(load_subject(name))
    tensors = load_file(save_lora_comfyui(transformer, tmp_path))
    layers = {key.removesuffix(".alpha") for key in tensors if key.endswith(".alpha")}
    assert f"{prefix}.transformer_blocks.0.attn.to_q" in layers
    assert len(tensors) == 3 * len(layers)
    for layer in layers:
        a, b = tensors[f"{layer}.lora_A.weight"], tensors[f"{layer}.lora_B.weight"]
        delta = tensors[f"{layer}.alpha"] / a.shape[0] * (b @ a)
        applied = transformer.get_submodule(layer.removeprefix(f"{prefix}.")).get_delta_weight("default")
        torch.testing.assert_close(delta, applied, rtol=1e-5, atol=1e-7)


def test_comfyuis_names_are_not_invented_for_other_networks(tmp_path: Path) -> None:
    network = torch.nn.Sequential(torch.nn.Linear(2, 2))
    add_lora(network, LoRA(rank=1), ["0"])
    with pytest.raises(ValueError, match=r"ComfyUI export: wanted one of .*, got Sequential"):
        save_lora_comfyui(network, tmp_path)


@pytest.mark.parametrize("name", EDITORS)
def test_what_was_saved_can_be_gone_on_with(
    load_subject: Callable[[str], Subject], tmp_path: Path, name: str
) -> None:
    first, second = load_subject(name), load_subject(name)
    save_lora(adapt(first), tmp_path)
    load_lora(adapt(second, seed=9), tmp_path)
    assert torch.equal(edit(second), edit(first))
    assert (
        trainable_state_dict(second.editor.transformer).keys()
        == trainable_state_dict(first.editor.transformer).keys()
    )


@pytest.mark.parametrize(
    ("lora", "message"),
    [
        (LoRA(rank=8, alpha=8), r"lora.rank: wanted 8, got 4"),
        (LoRA(rank=4, alpha=16), r"lora.alpha: wanted 16, got 8"),
        (
            LoRA(rank=4, alpha=8, targets=["attn.to_q"]),
            r"another editor or of other targets: wanted 4 tensors",
        ),
    ],
)
def test_an_adapter_of_other_settings_is_refused(
    load_subject: Callable[[str], Subject], tmp_path: Path, lora: LoRA, message: str
) -> None:
    save_lora(adapt(load_subject("plus")), tmp_path)
    with pytest.raises(ValueError, match=message):
        load_lora(adapt(load_subject("plus"), lora), tmp_path)


def test_an_adapter_of_another_editor_is_refused(
    load_subject: Callable[[str], Subject], tmp_path: Path
) -> None:
    save_lora(adapt(load_subject("kontext")), tmp_path)
    with pytest.raises(ValueError, match="another editor"):
        load_lora(adapt(load_subject("plus")), tmp_path)


def test_a_missing_file_or_adapter_is_named(load_subject: Callable[[str], Subject], tmp_path: Path) -> None:
    subject = load_subject("plus")
    with pytest.raises(ValueError, match="adapter: the transformer has none"):
        save_lora(subject.editor.transformer, tmp_path)
    with pytest.raises(ValueError, match="adapter: no such file"):
        load_lora(adapt(subject), tmp_path)


def test_an_average_can_be_written_in_place_of_the_weights(
    load_subject: Callable[[str], Subject], tmp_path: Path
) -> None:
    transformer = adapt(load_subject("plus"))
    average = {name: torch.full_like(p, 0.5) for name, p in trainable_state_dict(transformer).items()}
    written = load_file(save_lora(transformer, tmp_path, average))
    assert all(torch.equal(tensor, torch.full_like(tensor, 0.5)) for tensor in written.values())
    average.popitem()
    with pytest.raises(ValueError, match="weights: wanted the"):
        save_lora(transformer, tmp_path, average)


def test_a_full_disk_leaves_the_previous_file(
    load_subject: Callable[[str], Subject], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transformer = adapt(load_subject("plus"))
    path = save_lora(transformer, tmp_path)
    before = path.read_bytes()

    def half_written(tensors: dict, filename: Path, metadata: dict) -> None:
        Path(filename).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(lora_files, "save_file", half_written)
    with pytest.raises(OSError, match="No space left"):
        save_lora(transformer, tmp_path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_sharded_weights_are_gathered(load_subject: Callable[[str], Subject], tmp_path: Path) -> None:
    transformer = adapt(load_subject("plus"))
    expected = load_file(save_lora(transformer, tmp_path / "whole"))
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    try:
        fully_shard(transformer)
        written = load_file(save_lora(transformer, tmp_path / "sharded"))
    finally:
        dist.destroy_process_group()
    assert written.keys() == expected.keys()
    assert all(torch.equal(written[key], expected[key]) for key in expected)
