"""The build command exports the averaged weights of the base run, in half precision."""

from pathlib import Path

import pytest
import torch
from diffusers import QwenImageEditPlusPipeline
from safetensors.torch import load_file

from hpedit.miniature.build import averaged_weights, build, data, export
from hpedit.miniature.checkpoint import new_autoencoder, write_untrained
from hpedit.records import read_cases


def transformer_weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "transformer" / "diffusion_pytorch_model.safetensors")


@pytest.fixture
def untrained(tmp_path):
    return write_untrained(tmp_path / "untrained", new_autoencoder())


@pytest.fixture
def trained(tmp_path):
    """Return a checkpoint as Lightning writes it, whose average differs from the last weights."""
    path, name = tmp_path / "last.ckpt", "policy.transformer.proj_out.bias"
    checkpoint = {
        "state_dict": {name: torch.zeros(64)},
        "callbacks": {
            "ModelCheckpoint": {},
            "TrainedWeightsEMA": {"average": {name: torch.full((64,), 0.5)}},
        },
    }
    torch.save(checkpoint, path)
    return path


def test_the_average_is_exported_in_half_precision(untrained, trained, tmp_path):
    export(untrained, trained, tmp_path / "shipped")
    weights = transformer_weights(tmp_path / "shipped")
    assert {weight.dtype for weight in weights.values()} == {torch.float16}
    assert torch.equal(weights["proj_out.bias"], torch.full((64,), 0.5, dtype=torch.float16))
    before = transformer_weights(untrained)
    assert torch.equal(weights["img_in.weight"], before["img_in.weight"].half())


def test_no_path_of_this_machine_is_exported(untrained, trained, tmp_path):
    export(untrained, trained, tmp_path / "shipped")
    texts = [file.read_text() for file in (tmp_path / "shipped").rglob("*.json")]
    assert texts
    assert not any(str(tmp_path) in text for text in texts)


def test_weights_of_another_model_are_refused(untrained, trained, tmp_path):
    checkpoint = torch.load(trained, weights_only=True)
    average = checkpoint["callbacks"]["TrainedWeightsEMA"]["average"]
    average["policy.transformer.elsewhere"] = torch.zeros(1)
    torch.save(checkpoint, trained)
    assert "elsewhere" in averaged_weights(trained)
    with pytest.raises(AssertionError, match="another model"):
        export(untrained, trained, tmp_path / "shipped")


def test_data_writes_what_was_asked(tmp_path, capsys):
    data(str(tmp_path), train=8, held_out=16)
    printed = capsys.readouterr().out.split()
    assert [len(read_cases(path)) for path in printed] == [8, 16]


@pytest.mark.slow
def test_one_command_builds_an_editor_that_edits(tmp_path):
    build(
        str(tmp_path / "editor"), str(tmp_path / "work"), 80, autoencoder_steps=2, base_steps=2, compile=False
    )
    pipeline = QwenImageEditPlusPipeline.from_pretrained(tmp_path / "editor")
    before = transformer_weights(tmp_path / "work" / "untrained")
    moved = pipeline.transformer.state_dict()["img_in.weight"] - before["img_in.weight"]
    assert moved.abs().max() > 0
    assert len(read_cases(str(tmp_path / "work" / "mixture.parquet"))) == 80
