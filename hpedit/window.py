"""Which denoising steps of a round are stochastic, and so trained (MixGRPO's mixed ODE-SDE sampling)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from hpedit.noise import keyed_generator


@dataclass(frozen=True)
class SDEWindow:
    """The stochastic steps of a round; the others follow the ODE.

    Attributes:
        size: Number of stochastic steps; null takes every step of the range.
        start: First step that may be stochastic, counted from 0 (pure noise).
        stop: One past the last step that may be stochastic; null allows all but the last step, which is always
            noise-free.
        mode: ``random`` draws the window anew every round, ``sliding`` moves it on by one every ``slide_every``
            rounds, ``fixed`` keeps it at ``start``.
        slide_every: Rounds between two moves of a sliding window.
    """

    size: int | None = None
    start: int = 0
    stop: int | None = None
    mode: Literal["random", "sliding", "fixed"] = "random"
    slide_every: int = 1

    def bounds(self, num_steps: int) -> tuple[int, int, int]:
        """Return (start, stop, size) for ``num_steps`` denoising steps. Raises ValueError where they do not fit."""
        stop = num_steps - 1 if self.stop is None else self.stop
        size = stop - self.start if self.size is None else self.size
        if not 0 <= self.start < stop <= num_steps - 1:
            raise ValueError(
                f"rollout.window: wanted 0 <= start < stop <= {num_steps - 1} (the last of {num_steps} steps is "
                f"noise-free), got start {self.start}, stop {stop}"
            )
        if not 1 <= size <= stop - self.start:
            raise ValueError(
                f"rollout.window.size: wanted 1 to {stop - self.start} steps in [{self.start}, {stop}), got {size}"
            )
        return self.start, stop, size

    def steps(self, num_steps: int, round: int, seed: int) -> range:
        """Return the stochastic steps of ``round``: different from round to round, the same on every rank."""
        start, stop, size = self.bounds(num_steps)
        places = stop - start - size + 1
        if self.mode == "random":
            offset = int(torch.randint(places, (), generator=keyed_generator("window", seed, round)))
        elif self.mode == "sliding":
            offset = (round // self.slide_every) % places
        else:
            offset = 0
        return range(start + offset, start + offset + size)
