"""A VLM in this process through vLLM, which can lend its memory to training between rounds."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from torch import Tensor

from hpedit.images import to_pil
from hpedit.scorers.hp_scorer import Answer
from hpedit.scorers.identity import checkpoint_identity
from hpedit.scorers.prompts import Message
from hpedit.scorers.transformers_backend import digit_ids

# An engine takes one call at a time and batches inside it. Of the module, so that a backend can be pickled.
_lock = threading.RLock()


class VLLMBackend:
    """Runs ``vllm.LLM`` beside training, on the same GPU. Wants the extra hpedit[vllm]."""

    def __init__(
        self,
        model: str,
        dtype: str = "auto",
        tensor_parallel_size: int = 1,
        gpu_memory_utilization: float = 0.4,
        max_model_len: int | None = 8192,
        sleep_level: Literal[0, 1, 2] = 1,
        max_tokens: int = 8,
        revision: str | None = None,
        engine: dict[str, Any] | None = None,
    ) -> None:
        """
        Args:
            model: folder or hub id of an image-text-to-text checkpoint with a chat template.
            dtype: of the weights, as vLLM names it.
            tensor_parallel_size: GPUs that one copy of the model is spread over.
            gpu_memory_utilization: share of the GPU's memory that the judge may take while awake, in (0, 1].
            max_model_len: longest prompt in tokens, pictures included; the checkpoint's own bound where null.
            sleep_level: between rounds 1 moves the weights to main memory, 2 drops them and reads them again from
                disk, 0 keeps everything on the GPU.
            max_tokens: length of a generated reply where text is read.
            revision: of a hub checkpoint.
            engine: further arguments of vllm.LLM, such as mm_processor_kwargs or enforce_eager.
        """
        if not 0.0 < gpu_memory_utilization <= 1.0:
            raise ValueError(
                f"gpu_memory_utilization: expected a share in (0, 1], got {gpu_memory_utilization}"
            )
        self.model = model
        self.dtype = dtype
        self.tensor_parallel_size = tensor_parallel_size
        self.gpu_memory_utilization = gpu_memory_utilization
        self.max_model_len = max_model_len
        self.sleep_level = sleep_level
        self.max_tokens = max_tokens
        self.revision = revision
        self.engine = engine or {}
        self._llm: Any = None
        self._digits: list[int] = []
        self._asleep = False

    def check(self) -> None:
        self._loaded()

    def identity(self) -> str:
        checkpoint = checkpoint_identity(self.model, self.revision)
        return f"vllm {checkpoint} {self.dtype} {self.max_tokens} {sorted(self.engine.items())}"

    def answer(self, chats: Sequence[list[Message]], generate: bool) -> list[Answer]:
        with _lock:
            self.wake()
            return self._answers([_turns(chat) for chat in chats], generate)

    def wake(self) -> None:
        with _lock:
            llm = self._loaded()
            if not self._asleep:
                return
            if self.sleep_level == 2:
                # The weights are gone: their place first, then themselves, then room for the prompts.
                llm.wake_up(tags=["weights"])
                llm.collective_rpc("reload_weights")
                llm.wake_up(tags=["kv_cache"])
            else:
                llm.wake_up()
            self._asleep = False

    def sleep(self) -> None:
        with _lock:
            if self._llm is None or self._asleep or self.sleep_level == 0:
                return
            self._llm.sleep(level=self.sleep_level)
            self._asleep = True

    def _loaded(self) -> Any:
        with _lock:
            if self._llm is None:
                self._llm = self._load()
                self._digits = digit_ids(self._llm.get_tokenizer(), self.model)
            return self._llm

    def _load(self) -> Any:
        try:
            from vllm import LLM  # pyright: ignore[reportMissingImports]  # an extra
        except ImportError as error:
            raise ValueError(f"VLLMBackend wants vLLM: pip install 'hpedit[vllm]' ({error})") from error
        try:
            return LLM(
                model=self.model,
                dtype=self.dtype,
                tensor_parallel_size=self.tensor_parallel_size,
                gpu_memory_utilization=self.gpu_memory_utilization,
                max_model_len=self.max_model_len,
                revision=self.revision,
                enable_sleep_mode=self.sleep_level > 0,
                **self.engine,
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise ValueError(f"model: vLLM cannot load {self.model!r}: {error}") from error

    def _answers(self, chats: list[Any], generate: bool) -> list[Answer]:
        """Answer one batch; where it fails, each of its chats alone, so that one long prompt costs one score."""
        from vllm import SamplingParams  # pyright: ignore[reportMissingImports]  # an extra

        one_token = {"max_tokens": 1, "logprob_token_ids": self._digits}
        params = SamplingParams(
            temperature=0.0, **({"max_tokens": self.max_tokens} if generate else one_token)
        )
        try:
            replies = self._llm.chat(chats, params, use_tqdm=False)
        except ValueError as error:
            if len(chats) == 1:
                return [Answer(failure=f"{self.model}: {error}")]
            return [answer for chat in chats for answer in self._answers([chat], generate)]
        return [self._answer(reply.outputs[0], generate) for reply in replies]

    def _answer(self, output: Any, generate: bool) -> Answer:
        if generate:
            return Answer(text=output.text)
        first: Mapping[int, Any] = output.logprobs[0]
        return Answer(logprobs=tuple(first[token].logprob for token in self._digits))


def _turns(chat: list[Message]) -> list[dict[str, Any]]:
    return [{"role": message.role, "content": _content(message)} for message in chat]


def _content(message: Message) -> str | list[dict[str, Any]]:
    if len(message.parts) == 1 and isinstance(message.parts[0], str):
        return message.parts[0]
    return [_part(part) for part in message.parts]


def _part(part: str | Tensor) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    return {"type": "image_pil", "image_pil": to_pil(part)}
