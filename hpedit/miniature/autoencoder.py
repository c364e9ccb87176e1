"""Training the miniature's autoencoder: the real AutoencoderKLQwenImage, on pictures of the miniature world."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from diffusers import AutoencoderKLQwenImage
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset

from hpedit.editors.single_frame import skip_empty_frames
from hpedit.miniature.drawing import to_uint8
from hpedit.miniature.examples import example
from hpedit.miniature.flaws import draw_edit


class Pictures(IterableDataset):
    """Endless batches of pictures: for each example its source, an edit (half of them flawed) and a wrong edit.

    Args:
        number: Examples drawn, three pictures each.
        batch_size: Pictures in a batch.
        seed: Seed of the flaws and of the order.
    """

    def __init__(self, number: int, batch_size: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        cases = (example(n) for n in range(number))
        self.pictures = np.stack(
            [to_uint8(p) for c in cases for p in (c.source, draw_edit(c, rng, preferred=0.5), c.wrong)]
        )
        self.batch_size = batch_size
        self.rng = rng

    def __iter__(self) -> Iterator[Tensor]:
        while True:
            rows = self.rng.integers(0, len(self.pictures), self.batch_size)
            yield torch.from_numpy(self.pictures[rows]).float() / 255


class AutoencoderModule(LightningModule):
    """Trains an autoencoder on L1 and L2, L1 of the pixel differences (edges), and a pull of latents to N(0, 1).

    L2 is there because L1 alone settles on the commonest colour first and leaves the rare ones for very late.

    Args:
        vae: The autoencoder; its temporal layers are never reached by a single picture.
        steps: Optimizer steps until the learning rate is 0.
        lr: Peak learning rate of AdamW, reached after 3 % of the steps.
        square_weight: Weight of the L2 term.
        edge_weight: Weight of the edge term.
        kl_weight: Weight of the Kullback-Leibler term, a mean over latent values.
        compile: Compile the forward pass: a minute at the start, then twice as fast.
    """

    def __init__(
        self,
        vae: AutoencoderKLQwenImage,
        steps: int,
        lr: float = 3e-3,
        square_weight: float = 4.0,
        edge_weight: float = 0.5,
        kl_weight: float = 1e-3,
        compile: bool = False,
    ) -> None:
        super().__init__()
        self.vae = vae
        self.steps, self.lr = steps, lr
        self.square_weight, self.edge_weight, self.kl_weight = square_weight, edge_weight, kl_weight
        skip_empty_frames(vae)
        self.reconstruct = torch.compile(self._reconstruct) if compile else self._reconstruct

    def _reconstruct(self, pictures: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        moments = self.vae.quant_conv(self.vae.encoder(2 * pictures[:, :, None] - 1))
        mean, log_var = moments.chunk(2, dim=1)
        log_var = log_var.clamp(-20, 4)
        latents = mean + torch.exp(0.5 * log_var) * noise
        return self.vae.decoder(self.vae.post_quant_conv(latents))[:, :, 0], mean, log_var

    def training_step(self, pictures: Tensor, batch_idx: int) -> Tensor:
        height, width = (side // 8 for side in pictures.shape[-2:])
        noise = torch.randn(len(pictures), self.vae.config["z_dim"], 1, height, width, device=pictures.device)
        decoded, mean, log_var = (part.float() for part in self.reconstruct(pictures, noise))
        wanted = 2 * pictures - 1
        pixel = F.l1_loss(decoded, wanted)
        edge = F.l1_loss(decoded.diff(dim=-1), wanted.diff(dim=-1)) + F.l1_loss(
            decoded.diff(dim=-2), wanted.diff(dim=-2)
        )
        kl = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).mean()
        self.log_dict({"l1": pixel, "edge": edge, "kl": kl}, prog_bar=True)
        square = self.square_weight * F.mse_loss(decoded, wanted)
        return pixel + square + self.edge_weight * edge + self.kl_weight * kl

    def configure_optimizers(self) -> dict:
        optimizer = torch.optim.AdamW(self.vae.parameters(), self.lr, betas=(0.9, 0.99), weight_decay=1e-4)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.lr, self.steps, pct_start=0.03)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


@torch.no_grad()
def start_as_linear_map(vae: AutoencoderKLQwenImage) -> None:
    """Initialise for fast training: orthogonal convolutions, residual branches that start at 0.

    The default start shrinks the signal threefold at every layer and spends hundreds of steps on a gray picture.
    Weights that only ever meet frames before the first are 0, which also packs well.
    """
    for name, layer in vae.named_modules():
        if not isinstance(layer, nn.Conv2d | nn.Conv3d):
            continue
        weight = layer.weight if layer.weight.dim() == 4 else layer.weight[:, :, -1]
        start = torch.empty(weight.shape[0], weight[0].numel())
        nn.init.orthogonal_(start, gain=max(1.0, start.shape[0] / start.shape[1]) ** 0.5)
        layer.weight.zero_()
        if not name.endswith("conv2"):
            weight.copy_(start.view_as(weight))
        if layer.bias is not None:
            layer.bias.zero_()


def train_autoencoder(
    vae: AutoencoderKLQwenImage,
    steps: int = 4000,
    examples: int = 8000,
    batch_size: int = 16,
    compile: bool = True,
    seed: int = 0,
) -> None:
    """Train ``vae`` in place from scratch, and set its latent mean and standard deviation from the data."""
    torch.manual_seed(seed)
    start_as_linear_map(vae)
    pictures = Pictures(examples, batch_size, seed)
    trainer = Trainer(
        max_steps=steps,
        accelerator="cpu",
        precision="bf16-mixed",
        gradient_clip_val=1.0,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        callbacks=[TQDMProgressBar(refresh_rate=50)],
    )
    module = AutoencoderModule(vae, steps, compile=compile)
    trainer.fit(module, DataLoader(pictures, batch_size=None))
    vae.eval()
    set_latent_statistics(vae, torch.from_numpy(pictures.pictures[:4000]).float() / 255)


@torch.no_grad()
def set_latent_statistics(vae: AutoencoderKLQwenImage, pictures: Tensor) -> None:
    """Write the mean and standard deviation of each latent channel over ``pictures`` into the config."""
    latents = torch.cat([encode(vae, part) for part in pictures.split(100)])
    std, mean = torch.std_mean(latents, dim=(0, 2, 3, 4))
    vae.register_to_config(latents_mean=mean.tolist(), latents_std=std.tolist())


@torch.no_grad()
def encode(vae: AutoencoderKLQwenImage, pictures: Tensor) -> Tensor:
    """Encode pictures (N, 3, H, W) in [0, 1] into latents (N, C, 1, H / 8, W / 8), without sampling."""
    return vae.encode(2 * pictures[:, :, None] - 1, return_dict=False)[0].mode()


@torch.no_grad()
def round_trip(vae: AutoencoderKLQwenImage, pictures: Tensor) -> Tensor:
    """Encode and decode pictures (N, 3, H, W) in [0, 1]."""
    decoded = vae.decode(encode(vae, pictures), return_dict=False)[0]
    return (decoded[:, :, 0] / 2 + 0.5).clamp(0, 1)
