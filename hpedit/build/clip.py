"""CLIP as a measure of how well pictures match texts that are known beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import AutoProcessor, CLIPModel


class TextMatcher:
    """Compares pictures with fixed texts, which are encoded once."""

    def __init__(
        self, model: str, texts: Sequence[str], revision: str | None = None, device: str | None = None
    ) -> None:
        """
        Args:
            model: folder or hub id of a CLIP checkpoint of transformers, with its processor.
            texts: to compare pictures with.
            revision: of a hub checkpoint.
            device: "cuda:1", "cpu", ...; the current CUDA device by default, the CPU where there is none.

        Raises ValueError where no CLIP can be loaded.
        """
        try:
            clip: Any = CLIPModel.from_pretrained(model, revision=revision or "main", dtype=torch.float32)
            self._processor = AutoProcessor.from_pretrained(model, revision=revision or "main")
        except (OSError, ValueError) as error:
            raise ValueError(f"model: cannot load a CLIP from {model!r}: {error}") from error
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self._clip = clip.to(self._device).eval().requires_grad_(False)
        self._texts = self._encode_texts(texts)

    @torch.inference_mode()
    def similarities(self, pictures: Sequence[Image.Image]) -> Tensor:
        """Return the cosine of each picture and each text, (pictures, texts) in [-1, 1], float32 on the CPU."""
        inputs = self._processor(images=list(pictures), return_tensors="pt").to(self._device)
        features = _unit(self._clip.get_image_features(pixel_values=inputs["pixel_values"]))
        return (features @ self._texts.T).cpu()

    @torch.inference_mode()
    def _encode_texts(self, texts: Sequence[str]) -> Tensor:
        inputs = self._processor(text=list(texts), padding=True, truncation=True, return_tensors="pt")
        inputs = inputs.to(self._device)
        return _unit(
            self._clip.get_text_features(
                input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]
            )
        )


def _unit(features: Any) -> Tensor:
    return torch.nn.functional.normalize(features.pooler_output, dim=-1)
