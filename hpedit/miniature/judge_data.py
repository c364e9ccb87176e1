"""Rated edits of the miniature world: what its judge learns from, and what it is measured on.

An edit is a synthetic flaw, a near miss, or what the miniature editor makes of a case: base, post-trained or between.
Its human ratings are the exact rating's, under the name of a rater called "exact".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hpedit.cases import Candidate, Case, HumanRating
from hpedit.editors.qwen_image_edit_plus import QwenImageEditPlusEditor
from hpedit.images import png_bytes, to_uint8
from hpedit.lora import LoRA, add_lora, load_lora, lora_layers
from hpedit.lora_files import ADAPTER
from hpedit.miniature.data import case
from hpedit.miniature.drawing import Picture as Pixels
from hpedit.miniature.drawing import blur
from hpedit.miniature.examples import Example, example
from hpedit.miniature.flaws import FLAWS
from hpedit.miniature.near_misses import near_miss
from hpedit.miniature.rating import rate
from hpedit.noise import keyed_noise
from hpedit.pictures import Picture
from hpedit.sampling import sample_trajectory
from hpedit.tasks import TASKS
from hpedit.types import EditBatch, Guidance

RATER = "exact"
Rng = np.random.Generator
Draw = Callable[[Example, Rng], Pixels]

_EASY = ("object_removal", "background_replacement", "relighting")
_BATCH = 32  # cases that the editor edits at once
_NUM_STEPS = 6
_NOISY_STEPS = range(3)  # of a post-training rollout


def numbers(first: int, number: int) -> list[int]:
    """Return ``number`` examples' numbers from ``first`` on; tasks that are easy to judge come half as often."""
    tasks = len(TASKS)
    skipped = {tasks + TASKS.index(task) for task in _EASY}  # out of two rounds of the tasks
    return list(islice((n for n in count(first) if n % (2 * tasks) not in skipped), number))


def flawed_cases(
    drawn: Iterable[int], per_case: int, seed: int = 0, draw: Draw | None = None
) -> Iterator[Case]:
    """Yield the examples of these numbers, each with ``per_case`` rated synthetic edits.

    Args:
        drawn: The examples' numbers.
        draw: What makes an edit of an example; by default flawed_edit.
    """
    rng = np.random.default_rng(seed)
    draw = draw or flawed_edit
    for one in map(example, drawn):
        edits = np.stack([draw(one, rng) for _ in range(per_case)])
        yield rated_case(one, to_uint8(torch.from_numpy(edits)), draw.__name__)


def flawed_edit(drawn: Example, rng: Rng) -> Pixels:
    """Draw an edit with no flaw, one or two, of any severity, perhaps as soft as a decoded picture."""
    picture = drawn.target
    for _ in range(rng.choice(3, p=[0.15, 0.6, 0.25])):
        flaw, _ = FLAWS[str(rng.choice(list(FLAWS)))]
        picture = flaw(replace(drawn, target=picture), float(rng.uniform()))
    return _as_decoded(picture, rng)


def nearly_right_edit(drawn: Example, rng: Rng) -> Pixels:
    """Draw a near miss, sometimes with a flaw of low severity on top, perhaps as soft as a decoded picture."""
    picture = near_miss(drawn, rng)
    if rng.random() < 0.25:
        flaw, _ = FLAWS[str(rng.choice(list(FLAWS)))]
        picture = flaw(replace(drawn, target=picture), float(rng.uniform(0, 0.5)))
    return _as_decoded(picture, rng)


def _as_decoded(picture: Pixels, rng: Rng) -> Pixels:
    if rng.random() < 0.5:
        picture = blur(picture, float(rng.uniform(0.2, 0.9)))
    return np.clip(picture, 0, 1).astype(np.float32)


class Hand:
    """The miniature editor with an adapter whose share of the way from base to post-trained can be set.

    Args:
        adapter: Folder that callbacks.export.AdapterExport wrote; null for the base editor.
    """

    def __init__(self, adapter: str | None) -> None:
        self.adapter = adapter
        self.editor = QwenImageEditPlusEditor("miniature", "float32", reference_area=4096, condition_area=784)
        self.editor.load()
        if adapter is not None:
            add_lora(self.editor.transformer, LoRA(), self.editor.default_lora_targets)
            load_lora(self.editor.transformer, adapter)

    def go(self, share: float) -> None:
        """Set the adapter's share: 0 is the base editor, 1 the post-trained one."""
        layers: Any = lora_layers(self.editor.transformer)
        for layer in layers:
            layer.set_scale(ADAPTER, share)

    @torch.no_grad()
    def edit(self, batch: EditBatch, per_case: int, noise_level: float, seed: int) -> Tensor:
        """Return ``per_case`` edits of each of B cases, (B, per_case, 3, 64, 64); noisy as a rollout's if asked."""
        rows = [row for row in range(len(batch)) for _ in range(per_case)]
        names = [(batch.case_id[row], i % per_case) for i, row in enumerate(rows)]
        shape = self.editor.latent_shape(batch.size)
        noise = [
            torch.stack([keyed_noise(shape, "judge", seed, *name, k) for name in names]) for k in range(4)
        ]
        encoded = self.editor.encode(batch, negative=False)
        trajectory = sample_trajectory(
            self.editor,
            self.editor.collate([encoded[row] for row in rows]),
            noise[0],
            self.editor.sigmas(_NUM_STEPS, batch.size),
            Guidance(),
            noise_level=noise_level,
            window=_NOISY_STEPS if noise_level > 0 else range(0),
            step_noise=noise[1:],
        )
        edits = self.editor.decode(trajectory.x_0, batch.size)
        return edits.unflatten(0, (len(batch), per_case))


def edited_cases(
    hand: Hand, drawn: Sequence[int], per_case: int, shares: Sequence[float], noisy: bool, seed: int = 0
) -> Iterator[Case]:
    """Yield the examples of these numbers, each with ``per_case`` rated edits by the editor.

    Args:
        hand: The editor.
        drawn: The examples' numbers.
        shares: Shares of its adapter, one drawn for every batch of cases.
        noisy: Whether half of the batches are sampled with the noise of a rollout.
    """
    rng = np.random.default_rng(seed)
    for start in range(0, len(drawn), _BATCH):
        examples = [example(n) for n in drawn[start : start + _BATCH]]
        share = float(rng.choice(shares))
        hand.go(share)
        noise_level = float(rng.choice([0.0, 0.7])) if noisy else 0.0
        edits = hand.edit(_batch(examples), per_case, noise_level, seed)
        name = f"miniature, {share:g} of {Path(hand.adapter or 'base').name}"
        for one, pictures in zip(examples, edits, strict=True):
            yield rated_case(one, to_uint8(pictures), name)


def _batch(examples: Sequence[Example]) -> EditBatch:
    return EditBatch(
        case_id=[e.case_id for e in examples],
        task=[e.task for e in examples],
        instruction=[e.instruction for e in examples],
        requirement=[""] * len(examples),
        sources=[torch.from_numpy(np.stack([e.source for e in examples]))],
        size=(64, 64),
    )


def rated_case(drawn: Example, edits: Tensor, model: str) -> Case:
    """Return the record of an example with edits, uint8 (n, 3, 64, 64), and the exact rating of each.

    Ratings are in [0, 5] and of three dimensions: "overall", and its two factors "followed" and "intact".
    """
    record = case(drawn, drawn.target)
    source, target = (np.rint(p * 255).astype(np.uint8)[None] for p in (drawn.source, drawn.target))
    rating = rate(source, edits.numpy(), target)
    values = {"overall": rating.score, "followed": 5 * rating.followed, "intact": 5 * (1 - rating.damage)}
    names = [f"{record.case_id}-{i}" for i in range(len(edits))]
    return replace(
        record,
        candidates=tuple(
            Candidate(name, Picture(png_bytes(edit)), model) for name, edit in zip(names, edits, strict=True)
        ),
        humans=tuple(
            HumanRating(name, RATER, dim, float(value[i]))
            for i, name in enumerate(names)
            for dim, value in values.items()
        ),
    )
