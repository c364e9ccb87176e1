"""What real editors get wrong, as functions of the exact pictures and a severity in [0, 1] (0 is the exact edit).

A flaw is drawn without looking at the case, so an editor trained on such pictures has habits that it can be taught
to drop, rather than knowledge that it lacks.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hpedit.miniature.drawing import Picture, blur
from hpedit.miniature.examples import Example

WARM = np.array([0.96, 0.72, 0.30], np.float32)[:, None, None]  # the yellow cast known from real editors

Flaw = Callable[[Example, float], Picture]


def ghost(example: Example, severity: float) -> Picture:
    """The old picture shines through where it should have changed."""
    return example.target + 0.85 * severity * (example.source - example.target)


def not_applied(example: Example, severity: float) -> Picture:
    """The edit is hardly there; at severity 1 the source comes back."""
    return example.source + 0.15 * (1 - severity) * (example.target - example.source)


def spill(example: Example, severity: float) -> Picture:
    """The colour of the change runs over what should have stayed."""
    touched = np.abs(example.target - example.source).max(axis=0, keepdims=True)
    touched = np.minimum(touched / 0.1, 1)
    reach = blur(touched, 6.0)
    colour = blur(touched * example.target, 6.0) / (reach + 1e-4)
    return example.target + severity * (1 - touched) * np.minimum(3 * reach, 1) * (colour - example.target)


def tint(example: Example, severity: float) -> Picture:
    """A warm cast lies over the whole picture."""
    return example.target + 0.6 * severity * (WARM - example.target)


def soften(example: Example, severity: float) -> Picture:
    """The whole picture is out of focus."""
    return blur(example.target, 0.3 + 3.7 * severity)


def wrong_target(example: Example, severity: float) -> Picture:
    """Another edit of the same task was made; below severity 1 the right one shows faintly."""
    return example.wrong + 0.3 * (1 - severity) * (example.target - example.wrong)


# How often each comes, out of all flawed edits.
FLAWS: dict[str, tuple[Flaw, float]] = {
    "ghost": (ghost, 0.20),
    "not_applied": (not_applied, 0.24),
    "spill": (spill, 0.12),
    "tint": (tint, 0.18),
    "soften": (soften, 0.16),
    "wrong_target": (wrong_target, 0.10),
}


def draw_edit(example: Example, rng: np.random.Generator, preferred: float) -> Picture:
    """Draw an edit from the mixture: with probability ``preferred`` the exact one, otherwise a flawed one."""
    if rng.random() < preferred:
        return example.target
    names = list(FLAWS)
    name = str(rng.choice(names, p=[FLAWS[n][1] for n in names]))
    return FLAWS[name][0](example, float(rng.uniform(0.4, 1.0)))
