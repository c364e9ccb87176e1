"""A VLM in this process, through transformers: Qwen2.5-VL, Qwen3-VL and their kin."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForImageTextToText, AutoProcessor

from hpedit.images import to_pil
from hpedit.scorers.digits import DIGITS
from hpedit.scorers.hp_scorer import Answer
from hpedit.scorers.identity import checkpoint_identity
from hpedit.scorers.prompts import Message

_loading = threading.Lock()  # of the module, so that a backend that was not loaded yet can be pickled


@dataclass
class _VLM:
    model: Any
    processor: Any
    device: torch.device
    digit_ids: list[int]
    lock: threading.Lock = field(default_factory=threading.Lock)


class TransformersBackend:
    """Runs the VLM itself, one batch at a time. For small judges and for machines without a server."""

    def __init__(
        self,
        model: str,
        dtype: str = "bfloat16",
        device: str | None = None,
        batch_size: int = 8,
        max_tokens: int = 8,
        revision: str | None = None,
        max_pixels: int | None = None,
    ) -> None:
        """
        Args:
            model: folder or hub id of an image-text-to-text checkpoint with a chat template.
            dtype: of the weights, "bfloat16", "float16" or "float32".
            device: "cuda:1", "cpu", ...; the current CUDA device by default, the CPU where there is none.
            batch_size: chats in one forward pass.
            max_tokens: length of a generated reply where text is read.
            revision: of a hub checkpoint.
            max_pixels: larger pictures are shrunk to this many pixels; the checkpoint's own bound by default.
        """
        if not isinstance(getattr(torch, dtype, None), torch.dtype):
            raise ValueError(f"dtype: expected the name of a torch dtype, got {dtype!r}")
        if batch_size < 1:
            raise ValueError(f"batch_size: expected at least 1, got {batch_size}")
        self.model = model
        self.dtype = dtype
        self.device = device
        self.batch_size = batch_size
        self.max_tokens = max_tokens
        self.revision = revision
        self.max_pixels = max_pixels
        self._vlm: _VLM | None = None

    def check(self) -> None:
        self._loaded()

    def identity(self) -> str:
        checkpoint = checkpoint_identity(self.model, self.revision)
        return f"transformers {checkpoint} {self.dtype} {self.max_pixels} {self.max_tokens}"

    def answer(self, chats: Sequence[list[Message]], generate: bool) -> list[Answer]:
        vlm = self._loaded()
        batches = [chats[i : i + self.batch_size] for i in range(0, len(chats), self.batch_size)]
        return [answer for batch in batches for answer in self._batch(vlm, batch, generate)]

    def _loaded(self) -> _VLM:
        with _loading:
            if self._vlm is None:
                self._vlm = self._load()
            return self._vlm

    def _load(self) -> _VLM:
        device = torch.device(
            self.device or (f"cuda:{torch.cuda.current_device()}" if torch.cuda.is_available() else "cpu")
        )
        model, processor = load_vlm(self.model, getattr(torch, self.dtype), self.revision)
        model = model.to(device).eval().requires_grad_(False)
        return _VLM(model, processor, device, digit_ids(processor.tokenizer, self.model))

    def _batch(self, vlm: _VLM, chats: Sequence[list[Message]], generate: bool) -> list[Answer]:
        """Answer one batch; where it fails, each of its chats alone, so that one bad picture costs one score."""
        try:
            with vlm.lock, torch.inference_mode():
                inputs = chat_inputs(vlm.processor, chats, self.max_pixels).to(vlm.device)
                return self._texts(vlm, inputs) if generate else _digit_answers(vlm, inputs)
        except (RuntimeError, ValueError) as error:
            if len(chats) == 1:
                return [Answer(failure=f"{self.model}: {type(error).__name__}: {error}")]
        return [answer for chat in chats for answer in self._batch(vlm, [chat], generate)]

    def _texts(self, vlm: _VLM, inputs: Any) -> list[Answer]:
        tokens = vlm.model.generate(**inputs, max_new_tokens=self.max_tokens, do_sample=False)
        replies = tokens[:, inputs["input_ids"].shape[1] :]
        return [Answer(text=text) for text in vlm.processor.batch_decode(replies, skip_special_tokens=True)]


def load_vlm(model: str, dtype: torch.dtype, revision: str | None = None) -> tuple[Any, Any]:
    """Return the VLM and its processor, from a folder or the hub. Raises ValueError where it cannot be asked."""
    try:
        processor = AutoProcessor.from_pretrained(model, revision=revision)
        vlm: Any = AutoModelForImageTextToText.from_pretrained(model, revision=revision, dtype=dtype)
    except (OSError, ValueError) as error:
        raise ValueError(f"model: cannot load a VLM from {model!r}: {error}") from error
    if processor.chat_template is None:
        raise ValueError(f"model: {model!r} has no chat template, so it cannot be asked")
    # The answer follows the last token of every row, so the padding goes in front.
    processor.tokenizer.padding_side = "left"
    return vlm, processor


def chat_inputs(processor: Any, chats: Sequence[list[Message]], max_pixels: int | None = None) -> Any:
    """Return the model's inputs for a batch of chats, on the CPU; larger pictures shrink to ``max_pixels``."""
    turns = [_turns(chat) for chat in chats]
    size = dict(processor.image_processor.size)
    if max_pixels is not None:  # Qwen-VL counts the pixels of a picture, whatever its sides
        size["longest_edge"] = max_pixels
    return processor(
        text=[processor.apply_chat_template(turn, add_generation_prompt=True) for turn in turns],
        images=[[to_pil(p) for m in chat for p in m.parts if isinstance(p, Tensor)] for chat in chats],
        padding=True,
        return_tensors="pt",
        add_special_tokens=False,  # the template writes them
        size=size,
    )


def digit_logprobs(model: Any, inputs: Any, digits: Sequence[int]) -> Tensor:
    """Return the (n, 6) natural log-probabilities of the digits as the first token of n answers, float32."""
    logits = model(**inputs, use_cache=False, logits_to_keep=1).logits[:, -1].float()
    return logits.log_softmax(dim=-1)[:, list(digits)]


def _digit_answers(vlm: _VLM, inputs: Any) -> list[Answer]:
    return [Answer(logprobs=tuple(row)) for row in digit_logprobs(vlm.model, inputs, vlm.digit_ids).tolist()]


def digit_ids(tokenizer: Any, model: str) -> list[int]:
    """Return the token ids of "0" to "5". Raises ValueError where they are not six single tokens."""
    ids = [tokenizer.encode(digit, add_special_tokens=False) for digit in DIGITS]
    if any(len(tokens) != 1 for tokens in ids) or len({tokens[0] for tokens in ids}) != len(DIGITS):
        raise ValueError(
            f"model: {model!r} does not write the digits 0-5 as six distinct single tokens, got {ids}"
        )
    return [tokens[0] for tokens in ids]


def _turns(chat: list[Message]) -> list[dict[str, Any]]:
    return [{"role": message.role, "content": [_part(part) for part in message.parts]} for message in chat]


def _part(part: str | Tensor) -> dict[str, str]:
    return {"type": "text", "text": part} if isinstance(part, str) else {"type": "image"}
