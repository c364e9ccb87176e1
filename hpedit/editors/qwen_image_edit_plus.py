"""Qwen-Image-Edit-2509 and -2511: several reference pictures, seen small by the text encoder."""

from __future__ import annotations

from diffusers import QwenImageEditPlusPipeline
from PIL import Image

from hpedit.editors.pipeline import Precision
from hpedit.editors.qwen import Pictures, QwenEditor
from hpedit.editors.sizes import scaled_size


class QwenImageEditPlusEditor(QwenEditor):
    """Qwen-Image-Edit-2509 or -2511, and checkpoints of the same pipeline class."""

    pipeline_class = QwenImageEditPlusPipeline

    def __init__(
        self,
        model: str = "Qwen/Qwen-Image-Edit-2509",
        dtype: Precision = "bfloat16",
        revision: str | None = None,
        variant: str | None = None,
        local_files_only: bool = False,
        reference_area: int = 1024 * 1024,
        condition_area: int = 384 * 384,
        negative_prompt: str = " ",
        mrope: bool = False,
    ) -> None:
        """Constructing costs nothing; ``load`` reads the weights.

        Args:
            model: folder with a QwenImageEditPlusPipeline, its id on the Hugging Face hub, or "miniature" for the
                tiny one that ships with this package.
            dtype: precision of all weights.
            revision: branch, tag or commit on the hub.
            variant: weight file variant, such as "fp16".
            local_files_only: never ask the hub, use what was downloaded before.
            reference_area: pixels that a source picture is scaled to before it becomes reference latents. Less than
                the area of the edit saves much time: attention runs over edit and references together.
            condition_area: pixels that a source picture is scaled to for the text encoder.
            negative_prompt: what true classifier-free guidance leads away from.
            mrope: give picture tokens their place in height and width inside the text encoder, as transformers 4
                did. diffusers up to 0.42 with transformers 5 leaves it out (diffusers issue 14194); False equals
                the installed pipeline.
        """
        super().__init__(model, dtype, revision, variant, local_files_only, negative_prompt, mrope)
        self.reference_area = reference_area
        self.condition_area = condition_area

    def _scale(self, sources: list[Image.Image]) -> Pictures:
        return Pictures(
            seen=[self._resize(source, self.condition_area) for source in sources],
            references=[self._resize(source, self.reference_area) for source in sources],
        )

    def _resize(self, picture: Image.Image, area: int) -> Image.Image:
        return self.pipeline.image_processor.resize(
            picture, *scaled_size(picture.width, picture.height, area)
        )

    def _announce(self, num_sources: int) -> str:
        marks = "<|vision_start|><|image_pad|><|vision_end|>"
        return "".join(f"Picture {i + 1}: {marks}" for i in range(num_sources))
