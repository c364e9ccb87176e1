"""Qwen-Image-Edit (August 2025): one reference picture, seen by the text encoder at full size."""

from __future__ import annotations

from diffusers import QwenImageEditPipeline
from PIL import Image

from hpedit.editors.pipeline import Precision
from hpedit.editors.qwen import Pictures, QwenEditor
from hpedit.editors.sizes import scaled_size


class QwenImageEditEditor(QwenEditor):
    """Qwen-Image-Edit, and checkpoints of the same pipeline class."""

    pipeline_class = QwenImageEditPipeline

    def __init__(
        self,
        model: str = "Qwen/Qwen-Image-Edit",
        dtype: Precision = "bfloat16",
        revision: str | None = None,
        variant: str | None = None,
        local_files_only: bool = False,
        reference_area: int = 1024 * 1024,
        negative_prompt: str = " ",
        mrope: bool = False,
    ) -> None:
        """Constructing costs nothing; ``load`` reads the weights.

        Args:
            model: folder with a QwenImageEditPipeline, or its id on the Hugging Face hub.
            dtype: precision of all weights.
            revision: branch, tag or commit on the hub.
            variant: weight file variant, such as "fp16".
            local_files_only: never ask the hub, use what was downloaded before.
            reference_area: pixels that the source picture is scaled to, for the reference latents and for the text
                encoder alike. Less than the area of the edit saves much time.
            negative_prompt: what true classifier-free guidance leads away from.
            mrope: give picture tokens their place in height and width inside the text encoder, as transformers 4
                did. diffusers up to 0.42 with transformers 5 leaves it out (diffusers issue 14194); False equals
                the installed pipeline.
        """
        super().__init__(model, dtype, revision, variant, local_files_only, negative_prompt, mrope)
        self.reference_area = reference_area

    def _scale(self, sources: list[Image.Image]) -> Pictures:
        if len(sources) != 1:
            raise ValueError(f"sources: Qwen-Image-Edit takes 1 picture a case, got {len(sources)}")
        size = scaled_size(sources[0].width, sources[0].height, self.reference_area)
        scaled = self.pipeline.image_processor.resize(sources[0], *size)
        return Pictures(seen=[scaled], references=[scaled])

    def _announce(self, num_sources: int) -> str:
        # The pipeline's template already holds the place of its one picture.
        return ""
