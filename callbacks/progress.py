"""The progress bar of a run: one line that an 80-column terminal has room for."""

from __future__ import annotations

import lightning.pytorch as pl
from lightning.pytorch.callbacks import TQDMProgressBar

_SHORT = {"reward/mean": "reward", "speed/images_per_s": "images/s", "val/hp_score": "hp_score"}


class OneLineProgressBar(TQDMProgressBar):
    """Shows reward, speed and held-out score in few words.

    Lightning's own choice, Rich's bar, breaks its figures over many lines and stays below what a run says at its end.
    """

    def get_metrics(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> dict[str, int | str | float | dict]:
        """Return the figures of the bar by their short names, without the run's number, which its folder tells."""
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        known = {short: metrics.pop(name) for name, short in _SHORT.items() if name in metrics}
        return known | metrics
