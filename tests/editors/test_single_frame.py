"""A single picture goes through the video autoencoder at a third of the work, with the same result."""

import copy

import pytest
import torch

from hpedit.editors.single_frame import skip_empty_frames
from hpedit.miniature.architectures import VAESize, qwen_vae


@pytest.fixture(scope="module")
def vaes():
    torch.manual_seed(0)
    plain = qwen_vae(VAESize(base_dim=8)).eval()
    fast = copy.deepcopy(plain)
    skip_empty_frames(fast)
    return plain, fast


@torch.no_grad()
def test_a_picture_is_coded_as_before_up_to_rounding(vaes):
    plain, fast = vaes
    picture = torch.rand(2, 3, 1, 48, 32) * 2 - 1
    latents = plain.encode(picture).latent_dist.mode()
    assert torch.allclose(fast.encode(picture).latent_dist.mode(), latents, atol=1e-5)
    assert torch.allclose(fast.decode(latents).sample, plain.decode(latents).sample, atol=1e-5)


@torch.no_grad()
def test_a_clip_is_coded_exactly_as_before(vaes):
    plain, fast = vaes
    clip = torch.rand(1, 3, 5, 16, 16) * 2 - 1
    assert torch.allclose(
        fast.encode(clip).latent_dist.mode(), plain.encode(clip).latent_dist.mode(), atol=1e-5
    )


def test_the_weights_keep_their_names_and_values(vaes):
    plain, fast = (vae.state_dict() for vae in vaes)
    assert plain.keys() == fast.keys()
    assert all(torch.equal(plain[name], fast[name]) for name in plain)


@torch.no_grad()
def test_a_picture_needs_no_convolution_in_time(vaes, monkeypatch):
    def refuse(*_):
        raise AssertionError("a three-dimensional convolution ran")

    monkeypatch.setattr(torch.nn.Conv3d, "forward", refuse)
    vaes[1].encode(torch.rand(1, 3, 1, 16, 16))
    with pytest.raises(AssertionError):
        vaes[0].encode(torch.rand(1, 3, 1, 16, 16))
