"""Seconds of a round, by what they were spent on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Stopwatch:
    """Adds up wall-clock seconds under names; waits for the device at every change, so that GPU work is counted."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = {}
        self.born = self._now()

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        start = self._now()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + self._now() - start

    def elapsed(self) -> float:
        """Return the seconds since birth."""
        return self._now() - self.born

    def report(self, num_images: int) -> dict[str, float]:
        """Return seconds by name, since birth, and images a second, as figures to log."""
        total = self.elapsed()
        figures = {f"time/{name}_s": s for name, s in self.seconds.items()}
        return {**figures, "time/sampling_s": total, "speed/sampled_images_per_s": num_images / total}
