"""The autoencoder: clean enough that a perfect edit stays one, and trained by code that is run here in small."""

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLQwenImage

from hpedit.miniature import checkpoint_folder
from hpedit.miniature.autoencoder import Pictures, encode, round_trip, start_as_linear_map, train_autoencoder
from hpedit.miniature.checkpoint import new_autoencoder
from hpedit.miniature.examples import HELD_OUT, example
from hpedit.miniature.rating import rate
from hpedit.tasks import TASKS


@pytest.fixture(scope="module")
def shipped() -> AutoencoderKLQwenImage:
    return AutoencoderKLQwenImage.from_pretrained(checkpoint_folder(), subfolder="vae").float().eval()


def test_a_perfect_edit_encoded_and_decoded_rates_at_least_4_and_a_half(shipped):
    cases = [example(HELD_OUT + n) for n in range(96)]
    source, target = (np.stack([getattr(c, name) for c in cases]) for name in ("source", "target"))
    decoded = round_trip(shipped, torch.from_numpy(target)).numpy()
    scores = rate(source, decoded, target).score.reshape(-1, len(TASKS))
    for task, of_task in zip(TASKS, scores.T, strict=True):
        assert of_task.mean() >= 4.5, task
    assert np.quantile(scores, 0.1) >= 4.5


def test_normalised_latents_have_mean_0_and_standard_deviation_1(shipped):
    pictures = torch.from_numpy(np.stack([example(HELD_OUT + n).source for n in range(64)]))
    mean, std = (
        torch.tensor(shipped.config[name]).view(1, -1, 1, 1, 1) for name in ("latents_mean", "latents_std")
    )
    latents = (encode(shipped, pictures) - mean) / std
    assert latents.mean().abs() < 0.15
    assert 0.8 < latents.std() < 1.2


def test_training_begins_with_a_signal_that_passes_through():
    vae = new_autoencoder()
    pictures = torch.from_numpy(np.stack([example(n).source for n in range(16)]))
    lost = encode(vae, pictures).std()
    start_as_linear_map(vae)
    assert encode(vae, pictures).std() > 3 * lost


@pytest.mark.slow
def test_a_few_steps_of_training_bring_the_picture_nearer():
    pictures = torch.from_numpy(np.stack([example(n).source for n in range(4)]))
    errors = []
    for steps in (1, 12):
        vae = new_autoencoder()
        train_autoencoder(vae, steps, examples=4, batch_size=4, compile=False)
        errors.append(float((round_trip(vae, pictures) - pictures).abs().mean()))
        assert vae.config["latents_mean"] != [0.1] * 16
    assert errors[1] < 0.8 * errors[0]


def test_pictures_are_drawn_the_same_from_the_same_seed():
    one, two = (next(iter(Pictures(8, 4, seed=3))) for _ in range(2))
    assert torch.equal(one, two)
    assert one.shape == (4, 3, 64, 64)
