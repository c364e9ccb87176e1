"""Tiny random checkpoints of the real classes, an editor over each, and its diffusers pipeline as the oracle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from diffusers.pipelines.flux import pipeline_flux_kontext
from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit, pipeline_qwenimage_edit_plus
from PIL import Image
from torch import Tensor

from hpedit.editors.flux_kontext import FluxKontextEditor
from hpedit.editors.qwen_image_edit import QwenImageEditEditor
from hpedit.editors.qwen_image_edit_plus import QwenImageEditPlusEditor
from hpedit.miniature import random_checkpoints as make
from hpedit.types import EditBatch, Guidance

REFERENCE_AREA = 96 * 64
CONDITION_AREA = 64 * 64
STEPS = 3


@dataclass
class Subject:
    """One editor under test. ``plain`` and ``strong`` are its guidance without and with true CFG."""

    editor: Any
    plain: Guidance
    strong: Guidance

    def pipe(self, batch: EditBatch, guidance: Guidance, noise: Tensor, output_type: str) -> Tensor:
        """Run the pipeline itself on the one case of ``batch``, from the same noise (1, L, C)."""
        height, width = batch.size
        pictures = [as_pil(source[0]) for source in batch.sources]
        arguments: dict[str, Any] = {
            "image": pictures if isinstance(self.editor, QwenImageEditPlusEditor) else pictures[0],
            "prompt": batch.instruction[0],
            "negative_prompt": self.editor.negative_prompt if guidance.needs_negative else None,
            "true_cfg_scale": guidance.true_cfg,
            "height": height,
            "width": width,
            "num_inference_steps": STEPS,
            "latents": noise,
            "output_type": output_type,
        }
        if isinstance(self.editor, FluxKontextEditor):
            arguments |= {"guidance_scale": guidance.embedded, "max_area": height * width}
            arguments["max_sequence_length"] = self.editor.max_text_length
        return self.editor.pipeline(**arguments).images


def as_pil(picture: Tensor) -> Image.Image:
    return Image.fromarray((picture * 255).round().byte().permute(1, 2, 0).numpy())


def random_batch(
    instructions: list[str],
    size: tuple[int, int],
    source_size: tuple[int, int],
    references: int = 1,
    seed: int = 0,
) -> EditBatch:
    """Cases with smooth random pictures whose values are 8-bit levels."""
    generator = torch.Generator().manual_seed(seed)
    n = len(instructions)
    coarse = [torch.rand(n, 3, 5, 5, generator=generator) for _ in range(references)]
    sources = [torch.nn.functional.interpolate(c, size=source_size, mode="bilinear") for c in coarse]
    return EditBatch(
        case_id=[f"case{i}" for i in range(n)],
        task=["object_swapping"] * n,
        instruction=instructions,
        requirement=[""] * n,
        sources=[(source * 255).round() / 255 for source in sources],
        size=size,
    )


@pytest.fixture(scope="session", autouse=True)
def small_pictures() -> Iterator[None]:
    """Give the pipelines the small areas that the editors under test have; they offer no argument for it."""
    scale = pipeline_qwenimage_edit.calculate_dimensions
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline_qwenimage_edit_plus, "VAE_IMAGE_SIZE", REFERENCE_AREA)
        patch.setattr(pipeline_qwenimage_edit_plus, "CONDITION_IMAGE_SIZE", CONDITION_AREA)
        patch.setattr(
            pipeline_qwenimage_edit, "calculate_dimensions", lambda area, ratio: scale(REFERENCE_AREA, ratio)
        )
        patch.setattr(pipeline_flux_kontext, "PREFERRED_KONTEXT_RESOLUTIONS", [(64, 64), (64, 96), (96, 64)])
        yield


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("checkpoints")
    return {
        "plus": str(make.make_qwen_image_edit_plus(folder / "plus")),
        "plus2511": str(
            make.make_qwen_image_edit_plus(folder / "plus2511", make.TransformerSize(zero_cond_t=True))
        ),
        "edit": str(make.make_qwen_image_edit(folder / "edit")),
        "kontext": str(make.make_flux_kontext(folder / "kontext")),
    }


@pytest.fixture(scope="session")
def load_subject(checkpoints: dict[str, str]) -> Callable[[str], Subject]:
    """Load a fresh editor by name."""

    def load(name: str) -> Subject:
        model = checkpoints[name]
        if name == "kontext":
            editor = FluxKontextEditor(model, dtype="float32", max_text_length=32, negative_prompt="blurry")
            subject = Subject(editor, Guidance(embedded=2.5), Guidance(true_cfg=3.0, embedded=2.5))
        elif name == "edit":
            editor = QwenImageEditEditor(model, dtype="float32", reference_area=REFERENCE_AREA)
            subject = Subject(editor, Guidance(), Guidance(true_cfg=4.0))
        else:
            editor = QwenImageEditPlusEditor(
                model, dtype="float32", reference_area=REFERENCE_AREA, condition_area=CONDITION_AREA
            )
            subject = Subject(editor, Guidance(), Guidance(true_cfg=4.0))
        editor.load()
        editor.pipeline.set_progress_bar_config(disable=True)
        return subject

    return load


@pytest.fixture(scope="session")
def subjects(load_subject: Callable[[str], Subject]) -> Callable[[str], Subject]:
    """Return an editor by name, loaded once a session: for tests that leave it as it is."""
    loaded: dict[str, Subject] = {}

    def get(name: str) -> Subject:
        return loaded.setdefault(name, loaded.get(name) or load_subject(name))

    return get
