"""Rebuilding the shipped editor: autoencoder, data, base model. Stages that are already there are not redone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import torch
from diffusers import AutoencoderKLQwenImage, QwenImageEditPlusPipeline
from torch import Tensor

from hpedit.miniature import checkpoint_folder
from hpedit.miniature.autoencoder import train_autoencoder
from hpedit.miniature.checkpoint import new_autoencoder, write_untrained
from hpedit.miniature.data import write_data, write_mixture
from hpedit.runs import newest_checkpoint

_TRANSFORMER = "policy.transformer."  # what the weights are called in a checkpoint of SFTModule


def autoencoder(folder: str, steps: int = 4000, compile: bool = True, seed: int = 0) -> None:
    """Train the autoencoder (about a quarter of an hour on one core).

    Args:
        folder: Where to write it.
        steps: Optimizer steps, each on 16 pictures.
        compile: Compile the forward pass; needs a C++ compiler, halves the time.
        seed: Seed of weights, pictures and noise.
    """
    vae = new_autoencoder(seed)
    train_autoencoder(vae, steps, compile=compile, seed=seed)
    vae.save_pretrained(folder)


def data(folder: str, train: int = 2048, held_out: int = 128) -> None:
    """Write the post-training and the held-out cases as Parquet.

    Args:
        folder: Where to write ``train.parquet`` and ``held_out.parquet``.
        train: Number of post-training cases.
        held_out: Number of held-out cases.
    """
    print(*write_data(folder, train, held_out), sep="\n")


def build(
    folder: str | None = None,
    work: str = "runs/miniature_build",
    examples: int = 16_000,
    autoencoder_steps: int = 4000,
    base_steps: int = 4000,
    compile: bool = True,
    seed: int = 0,
) -> None:
    """Rebuild the miniature editor: autoencoder, data, and the base model by ``train.py fit`` (under an hour).

    Args:
        folder: Where to write the editor; null takes the place of the shipped one.
        work: Where the stages are kept. Delete a stage there to have it made anew.
        examples: Cases that the base model learns from, about half of them with a flawed edit.
        autoencoder_steps: Optimizer steps of the autoencoder.
        base_steps: Optimizer steps of the base model, each on 64 cases.
        compile: Compile the autoencoder while it is trained; needs a C++ compiler.
        seed: Seed of everything.
    """
    place = Path(work)
    vae, untrained, mixture = place / "autoencoder", place / "untrained", place / "mixture.parquet"
    if not vae.exists():
        autoencoder(str(vae), autoencoder_steps, compile, seed)
    if not untrained.exists():
        write_untrained(untrained, AutoencoderKLQwenImage.from_pretrained(vae), seed)
    if not mixture.exists():
        write_mixture(mixture, examples, seed=seed)
    write_data(place, train=0)
    if newest_checkpoint(place / "base") is None:
        _fit_base(place, untrained, mixture, base_steps, seed)
    trained = newest_checkpoint(place / "base")
    assert trained is not None
    export(untrained, trained, Path(folder) if folder else checkpoint_folder())


def _fit_base(place: Path, untrained: Path, mixture: Path, steps: int, seed: int) -> None:
    settings = {
        "config": "miniature_base.yaml",
        "seed_everything": seed,
        "trainer.max_steps": steps,
        "trainer.callbacks.init_args.every_n_train_steps": min(steps, 1000),  # of the last: ModelCheckpoint
        "model.lr_scheduler.total_steps": steps,
        "model.editor.model": untrained,
        "data.data": mixture,
        "data.val_data": place / "held_out.parquet",
        "run.dir": place,
        "run.name": "base",
    }
    train = Path(__file__).resolve().parents[2] / "train.py"
    flags = [f"--{name}={value}" for name, value in settings.items()]
    subprocess.run([sys.executable, str(train), "fit", *flags], check=True)


def export(untrained: Path, trained: Path, folder: Path) -> None:
    """Write the editor in float16: the untrained one with the averaged weights of a training checkpoint."""
    pipeline = QwenImageEditPlusPipeline.from_pretrained(untrained)
    weights = averaged_weights(trained)
    unknown = pipeline.transformer.load_state_dict(weights, strict=False).unexpected_keys
    assert not unknown, f"{trained}: weights of another model: {unknown[:3]}"
    pipeline.to(torch.float16).save_pretrained(folder)
    _forget_paths(folder)
    print(f"editor written to {folder}")


def _forget_paths(folder: Path) -> None:
    """Drop from every config the path that it was once loaded from: nobody else's machine has it."""
    for file in folder.rglob("*.json"):
        config = json.loads(file.read_text(encoding="utf-8"))
        if config.pop("_name_or_path", None) is not None:
            file.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def averaged_weights(checkpoint: Path) -> dict[str, Tensor]:
    """Return the transformer's averaged weights from a checkpoint made with TrainedWeightsEMA."""
    callbacks = torch.load(checkpoint, map_location="cpu", weights_only=True)["callbacks"]
    average = next(
        state["average"] for name, state in callbacks.items() if name.startswith("TrainedWeightsEMA")
    )
    return {name.removeprefix(_TRANSFORMER): weight for name, weight in average.items()}
