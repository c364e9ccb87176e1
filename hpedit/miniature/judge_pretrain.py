"""The judge's first lessons: at every place of a picture, what the edit should be, and how far it is from that.

A rating is one number for a whole picture; the exact target says more. While it learns the ratings, the judge's middle
layers also have to imagine the target behind picture A, and to measure the parts of the exact rating behind picture B.
The two readers are thrown away afterwards: what ships is a plain VLM, fine-tuned by ScorerModule.

All edits of a case are read in one row that shares instruction and picture A. Positions and mask are those of the
separate chats, so the answers are too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, linear, mse_loss, unfold

from hpedit.images import from_pil
from hpedit.miniature.judge_data import RATER
from hpedit.miniature.judge_model import GRID, PATCH, PROMPTS
from hpedit.miniature.rating import TOLERANCE, TOUCHED
from hpedit.records import Cases, read_cases
from hpedit.scorers.base import ScoreRequest
from hpedit.scorers.prompts import BASE, load_prompts, render
from hpedit.scorers.rating_losses import digit_loss, rating_distribution
from hpedit.scorers.transformers_backend import chat_inputs, digit_ids, load_vlm

_PLACES = GRID**2
_ANSWER = 7  # tokens of a chat after picture B
_GAP = 3  # tokens between the pictures
_WARM_UP = 100


@dataclass(frozen=True)
class Lessons:
    """n cases with k edits each, in memory: pictures uint8, rating (n, k, 6) as distributions over the digits."""

    requests: list[ScoreRequest]
    source: Tensor
    target: Tensor
    edits: Tensor
    rating: Tensor

    @classmethod
    def of(cls, cases: Cases) -> Lessons:
        requests, sources, targets, edits, ratings = [], [], [], [], []
        for case in cases:
            assert case.target is not None, f"{case.case_id}: no target"
            value = {h.cand_id: h.value for h in case.humans if h.dim == "overall" and h.rater == RATER}
            source = from_pil(case.source.decode())
            pictures = torch.stack([from_pil(c.image.decode()) for c in case.candidates])
            requests.append(
                ScoreRequest(case.case_id, case.task, case.instruction, "", (source,), pictures[0])
            )
            sources.append(source)
            targets.append(from_pil(case.target.decode()))
            edits.append(pictures)
            ratings.append(torch.stack([rating_distribution([value[c.cand_id]]) for c in case.candidates]))
        return cls(requests, *map(torch.stack, (sources, targets, edits, ratings)))

    def batches(
        self, size: int, seed: int
    ) -> Iterator[tuple[list[ScoreRequest], Tensor, Tensor, Tensor, Tensor]]:
        """Yield batches for ever, passes in an order of their own."""
        rng = np.random.default_rng(seed)
        while True:
            order = rng.permutation(len(self.requests))
            for rows in np.array_split(order, max(1, len(order) // size)):
                requests = [self.requests[i] for i in rows]
                yield requests, self.source[rows], self.target[rows], self.edits[rows], self.rating[rows]


def measures(source: Tensor, target: Tensor, edits: Tensor) -> Tensor:
    """Return the parts of the exact rating at each place, (n, k, places, 3), each of size about 1.

    Visible change asked for and missed inside the region of the edit, and the square root of the mean squared visible
    error outside; see hpedit.miniature.rating.rate. Pictures are uint8, (n, 3, H, W) and (n, k, 3, H, W).
    """
    source, target, edits = (p.float() / 255 for p in (source, target, edits))
    asked, off = (target - source).abs()[:, None], (edits - target[:, None]).abs()
    touched = ((asked.amax(2, keepdim=True) - 0.5 * TOUCHED) / TOUCHED).clamp(0, 1)
    asked, off = (asked - TOLERANCE).clamp(min=0), (off - TOLERANCE).clamp(min=0)
    parts = [touched * asked.expand_as(off), touched * off, (1 - touched) * off**2]
    asked, missed, damage = (avg_pool2d(p.mean(2), PATCH).flatten(2) for p in parts)
    return torch.stack([asked / 0.1, missed / 0.1, damage.sqrt() / 0.1], dim=-1)


def thumbnails(pictures: Tensor) -> Tensor:
    """Return each place of pictures (n, 3, H, W) as 4 x 4 colours, (n, places, 48), about standard normal."""
    small = avg_pool2d(pictures.float() / 255, PATCH // 4)
    return unfold((small - 0.5) / 0.25, kernel_size=4, stride=4).transpose(1, 2)


class Pupil(nn.Module):
    """The judge, and the two readers of its middle layers."""

    def __init__(self, folder: str | Path) -> None:
        super().__init__()
        self.vlm, self.processor = load_vlm(str(folder), torch.float32)
        self.digits = digit_ids(self.processor.tokenizer, str(folder))
        self.prompt = load_prompts(PROMPTS)[BASE]
        hidden = self.vlm.config.text_config.hidden_size
        self.imagine = nn.Sequential(nn.LayerNorm(hidden), nn.Linear(hidden, 48))
        self.measure = nn.Sequential(nn.LayerNorm(hidden), nn.Linear(hidden, 3))

    def forward(self, requests: list[ScoreRequest], edits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return (n, k, 6) log-probabilities of the digits, the imagined targets and the measures."""
        n, k = edits.shape[:2]
        inputs = chat_inputs(self.processor, [render(self.prompt, request) for request in requests])
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        positions, _ = self.vlm.model.get_rope_index(
            ids, inputs["mm_token_type_ids"], inputs["image_grid_thw"], attention_mask=mask
        )
        own = _PLACES + _ANSWER  # tokens of an edit: its picture and what follows
        shared = ids.shape[1] - own
        # The processor's patches are those of A and of the first edit; the others are cut alike.
        seen_a = self._see(inputs["pixel_values"].view(n, 2, _PLACES, -1)[:, 0])
        seen_b = self._see(_patches(edits))
        words = self.vlm.get_input_embeddings()(ids)
        first_a = shared - _GAP - _PLACES
        head = torch.cat([words[:, :first_a], seen_a, words[:, shared - _GAP : shared]], dim=1)
        tail = words[:, -_ANSWER:, None].transpose(1, 2).expand(-1, k, -1, -1)
        row = torch.cat([head, torch.cat([seen_b, tail], dim=2).flatten(1, 2)], dim=1)
        place = torch.cat([positions[..., :shared], positions[..., shared:].repeat(1, 1, k)], dim=2)
        hidden, layers = self.read(row, place, _row_mask(mask[:, :shared].bool(), own, k))
        answers = hidden[:, shared:].unflatten(1, (k, own))[:, :, -1]
        logprobs = self.vlm.lm_head(answers).log_softmax(dim=-1)[..., self.digits]
        imagined = self.imagine(layers[-3][:, first_a : first_a + _PLACES])
        measured = self.measure(layers[-2][:, shared:].unflatten(1, (k, own))[:, :, :_PLACES])
        return logprobs, imagined, measured

    def _see(self, patches: Tensor) -> Tensor:
        """Return the tokens of whole pictures: the vision tower, whose convolution is a matrix product."""
        visual = self.vlm.model.visual
        projection = visual.patch_embed.proj
        tokens = linear(patches, projection.weight.flatten(1), projection.bias) + visual.pos_embed.weight
        return visual.merger(tokens.flatten(0, -2)).unflatten(0, patches.shape[:-1])

    def read(self, row: Tensor, place: Tensor, mask: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return what the language model makes of a row of tokens, and what each of its layers does."""
        language = self.vlm.model.language_model
        turns = language.rotary_emb(row, place)
        layers = []
        for layer in language.layers:
            row = layer(row, attention_mask=mask, position_embeddings=turns)
            layers.append(row)
        return language.norm(row), layers


def _patches(pictures: Tensor) -> Tensor:
    """Cut pictures (..., 3, H, W), uint8, as the judge's image processor does: (..., places, 3 * PATCH^2)."""
    pixels = (pictures.float() / 255 - 0.5) / 0.25
    return (
        unfold(pixels.flatten(0, -4), PATCH, stride=PATCH).transpose(1, 2).unflatten(0, pictures.shape[:-3])
    )


def _row_mask(shared: Tensor, own: int, k: int) -> Tensor:
    """Return (n, 1, T, T) bool: each edit sees what is shared and itself, and nothing sees what comes later.

    ``shared`` (n, S) is False on padding, which sees itself alone so that no softmax is empty.
    """
    n, s = shared.shape
    total = s + k * own
    owner = torch.cat([torch.zeros(s), torch.arange(1, k + 1).repeat_interleave(own)])
    visible = (owner[None] == 0) | (owner[:, None] == owner[None])
    visible &= torch.ones(total, total).tril().bool()
    real = torch.cat([shared, torch.ones(n, k * own, dtype=torch.bool)], dim=1)
    return ((visible[None] & real[:, None]) | torch.eye(total).bool())[:, None]


def pretrain(
    untrained: str | Path,
    data: str | Path,
    folder: str | Path,
    steps: int,
    batch_size: int = 16,
    rate: float = 1.5e-3,
    compiled: bool = False,
) -> None:
    """Train the judge in ``untrained`` on rated cases with targets, and write it to ``folder``.

    Args:
        untrained: The judge to start from.
        data: Rated cases (hpedit.miniature.judge_data), all with the same number of edits.
        folder: Where to write the judge at the end.
        steps: Optimizer steps.
        batch_size: Cases in a step.
        rate: Highest learning rate: reached after a warm-up, and brought down over the second half.
        compiled: Compile the layers first. It takes a C++ compiler and a minute or two, and halves a step.
    """
    torch.manual_seed(0)
    pupil, lessons = Pupil(untrained), Lessons.of(read_cases(str(data)))
    if compiled:
        pupil.read = torch.compile(pupil.read, dynamic=True)
    optimizer = torch.optim.AdamW(pupil.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
    seen: list[list[float]] = []
    for step, batch in zip(range(1, steps + 1), lessons.batches(batch_size, seed=0), strict=False):
        losses = _losses(pupil, *batch)
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()
        nn.utils.clip_grad_norm_(pupil.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        seen.append([float(loss.detach()) for loss in losses])
        if step % 50 == 0:
            digits, imagined, measured = np.mean(seen[-50:], axis=0)
            print(
                f"step {step}: digits {digits:.3f}  imagined {imagined:.3f}  measured {measured:.3f}",
                flush=True,
            )
    pupil.vlm.save_pretrained(folder)
    pupil.processor.save_pretrained(folder)


def _rate(step: int, steps: int) -> float:
    """Return the share of the learning rate at a step: up, level, and down to a fiftieth over the second half."""
    return min(1.0, (step + 1) / _WARM_UP, 0.02 + 2 * (1 - step / steps))


def _losses(
    pupil: Pupil, requests: list[ScoreRequest], source: Tensor, target: Tensor, edits: Tensor, rating: Tensor
) -> list[Tensor]:
    """Return the losses of the ratings, of the imagined targets and of the measures."""
    logprobs, imagined, measured = pupil(requests, edits)
    digits, _ = digit_loss(logprobs.flatten(0, 1), rating.flatten(0, 1))
    return [
        digits,
        mse_loss(imagined, thumbnails(target)),
        mse_loss(measured, measures(source, target, edits)),
    ]
