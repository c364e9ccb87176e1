"""The miniature's judge as a scorer: HP-Scorer over a tiny Qwen3-VL that ships with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from hpedit.miniature.judge_model import PROMPTS
from hpedit.scorers.hp_scorer import HPScorer
from hpedit.scorers.transformers_backend import TransformersBackend


def judge_folder() -> Path:
    """Return the folder of the shipped judge."""
    return Path(__file__).resolve().parent / "judge_checkpoint"


class MiniatureJudge(HPScorer):
    """Looks at source, edit and instruction, and never at the exact target: a VLM's reward on a laptop."""

    def __init__(
        self,
        model: str | None = None,
        dtype: Literal["float32", "bfloat16", "float16"] = "float32",
        device: str | None = None,
        batch_size: int = 48,
    ) -> None:
        """
        Args:
            model: folder of another judge of the miniature; the shipped one by default.
            dtype: of the weights.
            device: "cuda:1", "cpu", ...; the current CUDA device by default, the CPU where there is none.
            batch_size: edits in one forward pass.
        """
        backend = TransformersBackend(model or str(judge_folder()), dtype, device, batch_size)
        super().__init__(backend, prompts=str(PROMPTS), task_aware=False)
