"""What travels through the house, with one legend of shapes.

B  cases in a batch            G  samples of one case (group size)
N  samples (B * G)             R  reference images of a case
L  latent tokens of the edit   C  channels of a latent token
M  rows of a micro-batch, each one (sample, step) pair

Time is t = sigma in [0, 1]: 1 is noise, 0 is the picture. The paper (eq. 1) counts the other way round.
Pictures are float32 in [0, 1], shape (..., 3, H, W), unless a name says uint8.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class Guidance:
    """How strongly the instruction steers the editor.

    Attributes:
        true_cfg: classifier-free guidance scale; 1 means one forward pass and no negative prompt.
        embedded: scale fed to a guidance-distilled model (FLUX.1-Kontext); None where the model has none.
    """

    true_cfg: float = 1.0
    embedded: float | None = None

    @property
    def needs_negative(self) -> bool:
        return self.true_cfg > 1.0


@dataclass
class EditBatch:
    """B cases of one aspect bucket.

    Attributes:
        case_id: B ids; a case is one (source pictures, instruction), and the key of its group.
        task: B canonical task names (hpedit.tasks.TASKS).
        instruction: B editing instructions.
        requirement: B extra requirements shown to the scorer, "" where there is none.
        sources: R tensors of shape (B, 3, H_r, W_r) in [0, 1]; the first is the picture to edit.
        size: (height, width) of the edit, in pixels.
        target: the edited picture where the data has one, (B, 3, H, W) in [0, 1].
    """

    case_id: list[str]
    task: list[str]
    instruction: list[str]
    requirement: list[str]
    sources: list[Tensor]
    size: tuple[int, int]
    target: Tensor | None = None

    def __len__(self) -> int:
        return len(self.case_id)

    def to(self, device: torch.device | str) -> Self:
        return replace(
            self,
            sources=[s.to(device) for s in self.sources],
            target=None if self.target is None else self.target.to(device),
        )

    def select(self, rows: list[int]) -> Self:
        """Return the cases at ``rows``, in that order, repeats allowed."""
        return replace(
            self,
            case_id=[self.case_id[i] for i in rows],
            task=[self.task[i] for i in rows],
            instruction=[self.instruction[i] for i in rows],
            requirement=[self.requirement[i] for i in rows],
            sources=[s[rows] for s in self.sources],
            target=None if self.target is None else self.target[rows],
        )


@dataclass
class PreferenceBatch:
    """B pairs of edits of the same cases, one preferred over the other.

    Attributes:
        cases: the B cases.
        preferred, rejected: pictures (B, 3, H, W) in [0, 1].
    """

    cases: EditBatch
    preferred: Tensor
    rejected: Tensor

    def __len__(self) -> int:
        return len(self.cases)

    def to(self, device: torch.device | str) -> Self:
        return replace(
            self,
            cases=self.cases.to(device),
            preferred=self.preferred.to(device),
            rejected=self.rejected.to(device),
        )


class Conditioning(Protocol):
    """What an editor encodes once per case: text and reference tokens. Opaque outside its editor."""

    def to(self, device: torch.device | str) -> Self: ...


@dataclass
class EditedBatch:
    """Edits of a batch of cases, on their way to the scorer.

    Attributes:
        cases: B cases.
        case_row: (n,) which row of ``cases`` each picture is an edit of.
        images: (n, 3, H, W) in [0, 1].
    """

    cases: EditBatch
    case_row: list[int]
    images: Tensor


@dataclass
class Rollout:
    """One round's samples on this rank, after sampling; the callbacks fill score and reward.

    Attributes:
        round: number of the round (Lightning's epoch).
        case_id, task: of each of the N samples.
        group: (N,) int64, index of the sample's case in the round; siblings share it.
        score: (N,) HP-Score in [0, 5], NaN where it could not be had.
        reward: (N,) in [0, 1], NaN where it could not be had.
    """

    round: int
    case_id: list[str]
    task: list[str]
    group: Tensor
    score: Tensor
    reward: Tensor


@dataclass
class Transition:
    """M stochastic steps x_t -> x_next of the policy that sampled them.

    Attributes:
        x_t, x_next: (M, L, C) float32.
        t, t_next: (M,) float32, t_next < t.
        log_prob_old: (M,) float32, mean over the latent dimensions.
        mean_old: (M, L, C) float32, the sampling policy's step mean; None unless GRPO-Guard needs it.
        advantage: (M,) float32.
        weight: (M,) float32; 0 marks a row that only keeps the ranks in step.
        cond: the rows' conditioning, collated.
        noise_level: the noise level of the rollout's stochastic steps.
        num_planned: rows the micro-batch would have with every group alive; the loss is divided by it.
        first: whether these rows are seen before the round's first update (ratio must be 1).
    """

    x_t: Tensor
    x_next: Tensor
    t: Tensor
    t_next: Tensor
    log_prob_old: Tensor
    mean_old: Tensor | None
    advantage: Tensor
    weight: Tensor
    cond: Conditioning
    noise_level: float
    num_planned: int
    first: bool

    def __len__(self) -> int:
        return self.t.shape[0]

    def to(self, device: torch.device | str) -> Self:
        return replace(
            self,
            x_t=self.x_t.to(device),
            x_next=self.x_next.to(device),
            t=self.t.to(device),
            t_next=self.t_next.to(device),
            log_prob_old=self.log_prob_old.to(device),
            mean_old=None if self.mean_old is None else self.mean_old.to(device),
            advantage=self.advantage.to(device),
            weight=self.weight.to(device),
            cond=self.cond.to(device),
        )


@dataclass
class Idle:
    """A micro-batch in which no rank has anything to learn: it costs no computation and keeps the count of steps."""

    def to(self, device: torch.device | str) -> Self:
        return self
