"""Stage 5: the base editor makes a few edits of every case, for the scorer to tell hard cases by."""

from __future__ import annotations

import copy
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar, TypeVar

import torch
from torch import Tensor

from hpedit.build.kinds import CASES, Kind
from hpedit.build.stage import Failure, Outcome, Work, Workers
from hpedit.cases import Candidate, Case
from hpedit.editors.base import Editor
from hpedit.framing import ASPECTS, Frame, fit, stack
from hpedit.images import png_bytes, to_uint8
from hpedit.pictures import BadPicture, Picture
from hpedit.sampling import EvalSettings, edit_cases
from hpedit.types import EditBatch

T = TypeVar("T")
Aspects = tuple[str, ...]


@dataclass(frozen=True)
class Edit:
    """Edits every case ``sampling.samples_per_case`` times; the edits become its candidates.

    The noise of an edit is keyed by the sampling's seed, the case's id and the edit's number, so a build that was
    killed makes the same pictures as one that was not.

    Attributes:
        editor: the base model, not yet loaded.
        sampling: steps, guidance, number of edits and seed.
        resolution: side in pixels of the square that has the area of an edit.
        source_resolution: the same for the pictures given to the editor; null takes resolution.
        buckets: aspect ratios, width:height, quoted in YAML; a picture is cut to the nearest, never squashed.
        edits_at_once: edits in one pass of the network, but at least all of one case. What fits in memory.
        device: "cuda:1", "cpu", ...; the GPU by default, the CPU where there is none.
        chunk_rows: cases in a chunk: what a killed build pays for again.
        workers: who edits; ``gpus: 1`` and a ``count`` of GPUs uses them all. Cases of one aspect are batched among
            the ``batch_size`` of them that a worker is given at once.
    """

    editor: Editor
    sampling: EvalSettings = EvalSettings(samples_per_case=4)
    resolution: int = 512
    source_resolution: int | None = None
    buckets: tuple[str, ...] = ASPECTS
    edits_at_once: int = 4
    device: str | None = None
    chunk_rows: int = 32
    workers: Workers = Workers(batch_size=32)
    name: ClassVar[str] = "edit"
    version: ClassVar[int] = 1
    reads: ClassVar[Kind[Case]] = CASES
    writes: ClassVar[Kind[Case]] = CASES

    def __post_init__(self) -> None:
        if self.sampling.samples_per_case < 1 or self.edits_at_once < 1:
            raise ValueError(
                "edit: expected sampling.samples_per_case >= 1 and edits_at_once >= 1, "
                f"got {self.sampling.samples_per_case} and {self.edits_at_once}"
            )
        _ = self.frame  # its settings are checked now, not in a worker

    @property
    def frame(self) -> Frame:
        """The shapes of pictures and edits."""
        side = self.source_resolution or self.resolution
        return Frame(self.buckets, self.resolution, side, self.editor.size_multiple)

    def check(self) -> None:
        """There is nothing to ask: the editor says itself what is missing when it is loaded."""

    def open(self) -> Work[Case, Case]:
        device = torch.device(self.device or ("cuda" if torch.cuda.is_available() else "cpu"))
        # A copy, so that the stage does not keep the weights when its work is done.
        editor = copy.deepcopy(self.editor)
        editor.load()
        editor.transformer.to(device)
        return partial(_edit, replace(self, editor=editor), device)


@dataclass(frozen=True)
class Framed:
    """A case with its pictures (3, H_r, W_r) at the sizes of their aspects."""

    case: Case
    aspects: Aspects
    sources: tuple[Tensor, ...]


def _edit(settings: Edit, device: torch.device, cases: Sequence[Case]) -> list[Outcome[Case]]:
    outcomes: dict[int, Outcome[Case]] = {}
    framed: dict[int, Framed] = {}
    for i, case in enumerate(cases):
        try:
            framed[i] = frame_case(case, settings.frame)
        except BadPicture as error:
            outcomes[i] = Failure(str(error))
    at_once = max(1, settings.edits_at_once // settings.sampling.samples_per_case)
    for rows in batches({i: f.aspects for i, f in framed.items()}, at_once):
        edited = _edit_batch(settings, device, [framed[i] for i in rows])
        outcomes |= zip(rows, edited, strict=True)
    return [outcomes[i] for i in range(len(cases))]


def frame_case(case: Case, frame: Frame) -> Framed:
    """Decode the pictures of a case and cut them to the nearest aspects. Raises BadPicture."""
    pictures = [picture.decode() for picture in (case.source, *case.references)]
    aspects = tuple(frame.nearest((image.height, image.width)) for image in pictures)
    sources = [fit(image, frame.source_size(a)) for image, a in zip(pictures, aspects, strict=True)]
    return Framed(case, aspects, tuple(sources))


def batches(aspects: Mapping[T, Aspects], size: int) -> Iterator[list[T]]:
    """Cut keys into lists of at most ``size`` whose pictures have the same aspects, in order of appearance."""
    alike: defaultdict[Aspects, list[T]] = defaultdict(list)
    for key, shape in aspects.items():
        alike[shape].append(key)
    for keys in alike.values():
        yield from (keys[i : i + size] for i in range(0, len(keys), size))


@torch.no_grad()
def _edit_batch(settings: Edit, device: torch.device, framed: Sequence[Framed]) -> list[Outcome[Case]]:
    cases, size = [f.case for f in framed], settings.frame.edit_size(framed[0].aspects[0])
    batch = EditBatch(
        case_id=[case.case_id for case in cases],
        task=[case.task for case in cases],
        instruction=[case.instruction for case in cases],
        requirement=[case.requirement or "" for case in cases],
        sources=stack([f.sources for f in framed]),
        size=size,
    )
    count = settings.sampling.samples_per_case
    images = edit_cases(settings.editor, batch.to(device), settings.sampling, device).images.cpu()
    return [
        _with_candidates(settings, case, images[i * count : (i + 1) * count]) for i, case in enumerate(cases)
    ]


def _with_candidates(settings: Edit, case: Case, images: Tensor) -> Outcome[Case]:
    """Return the case with edits (n, 3, H, W) as further candidates; nothing of it where one is not finite."""
    if not torch.isfinite(images).all():
        return Failure("the edit holds NaN or infinity")
    new = tuple(_candidate(settings, case, i, image) for i, image in enumerate(to_uint8(images)))
    return [replace(case, candidates=(*case.candidates, *new))]


def _candidate(settings: Edit, case: Case, number: int, image: Tensor) -> Candidate:
    sampling = asdict(settings.sampling)
    seed = sampling.pop("seed")
    params = {"sample": number, **sampling, "height": image.shape[1], "width": image.shape[2]}
    return Candidate(
        cand_id=f"{case.case_id}-{number}",
        image=Picture(png_bytes(image)),
        model=model_name(settings.editor),
        seed=seed,
        params=json.dumps(params),
    )


def model_name(editor: Editor) -> str:
    """Return what an editor's edits are filed under: its model's hub id or folder name, else its class."""
    model = getattr(editor, "model", None)
    if model is None:
        return type(editor).__name__
    path = Path(str(model))
    return path.name if path.is_dir() else str(model)
