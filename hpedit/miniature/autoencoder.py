"""Training the miniature's autoencoder: the real AutoencoderKLQwenImage, on pictures of the miniature world."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from diffusers import AutoencoderKLQwenImage
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset

from hpedit.editors.single_frame import skip_empty_frames
from hpedit.miniature.drawing import to_uint8
from hpedit.miniature.examples import example
from hpedit.miniature.flaws import draw_edit


class Pictures(IterableDataset):
    """Endless batches of pictures, sources and edits alike, half of the edits flawed.

    Args:
        number: Examples drawn, two pictures each.
        batch_size: Pictures in a batch.
        seed: Seed of the flaws and of the order.
    """

    def __init__(self, number: int, batch_size: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        cases = (example(n) for n in range(number))
        self.pictures = np.stack(
            [to_uint8(p) for case in cases for p in (case.source, draw_edit(case, rng, preferred=0.5))]
        )
        self.batch_size = batch_size
        self.rng = rng

    def __iter__(self) -> Iterator[Tensor]:
        while True:
            rows = self.rng.integers(0, len(self.pictures), self.batch_size)
            yield torch.from_numpy(self.pictures[rows]).float() / 255


class AutoencoderModule(LightningModule):
    """Trains an autoencoder on L1, L1 of the pixel differences (edges), and a faint pull of latents to N(0, 1).

    Args:
        vae: The autoencoder; its temporal layers are never reached by a single picture.
        steps: Optimizer steps until the learning rate is 0.
        lr: Peak learning rate of AdamW, reached after a fiftieth of the steps.
        edge_weight: Weight of the edge term.
        kl_weight: Weight of the Kullback-Leibler term, a mean over latent values.
        compile: Compile the forward pass: a minute at the start, then twice as fast.
    """

    def __init__(
        self,
        vae: AutoencoderKLQwenImage,
        steps: int,
        lr: float = 2e-3,
        edge_weight: float = 0.5,
        kl_weight: float = 1e-3,
        compile: bool = False,
    ) -> None:
        super().__init__()
        self.vae = vae
        self.steps, self.lr = steps, lr
        self.edge_weight, self.kl_weight = edge_weight, kl_weight
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
        return pixel + self.edge_weight * edge + self.kl_weight * kl

    def configure_optimizers(self) -> dict:
        optimizer = torch.optim.AdamW(self.vae.parameters(), self.lr, betas=(0.9, 0.99), weight_decay=1e-4)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.lr, self.steps, pct_start=0.02)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def train_autoencoder(
    vae: AutoencoderKLQwenImage,
    steps: int = 3000,
    examples: int = 8000,
    batch_size: int = 32,
    precision: str = "bf16-mixed",
    compile: bool = True,
    seed: int = 0,
) -> None:
    """Train ``vae`` in place and set its latent mean and standard deviation from the data."""
    torch.manual_seed(seed)
    pictures = Pictures(examples, batch_size, seed)
    trainer = Trainer(
        max_steps=steps,
        accelerator="cpu",
        precision=precision,  # pyright: ignore[reportArgumentType]
        gradient_clip_val=1.0,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        log_every_n_steps=50,
    )
    module = AutoencoderModule(vae, steps, compile=compile)
    trainer.fit(module, DataLoader(pictures, batch_size=None))
    vae.eval()
    set_latent_statistics(vae, torch.from_numpy(pictures.pictures[:4000]).float() / 255)


@torch.no_grad()
def set_latent_statistics(vae: AutoencoderKLQwenImage, pictures: Tensor) -> None:
    """Write the mean and standard deviation of each latent channel over ``pictures`` into the config."""
    latents = torch.cat(
        [vae.encode(2 * part[:, :, None] - 1).latent_dist.mode() for part in pictures.split(100)]
    )
    std, mean = torch.std_mean(latents, dim=(0, 2, 3, 4))
    vae.register_to_config(latents_mean=mean.tolist(), latents_std=std.tolist())


@torch.no_grad()
def round_trip(vae: AutoencoderKLQwenImage, pictures: Tensor) -> Tensor:
    """Encode and decode pictures (N, 3, H, W) in [0, 1], without sampling."""
    latents = vae.encode(2 * pictures[:, :, None] - 1).latent_dist.mode()
    return (vae.decode(latents).sample[:, :, 0] / 2 + 0.5).clamp(0, 1)
