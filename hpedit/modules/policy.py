"""The trained policy: an editor's transformer with its adapter, and the reference it started from."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.distributed.device_mesh import DeviceMesh

from hpedit.editors.base import Editor
from hpedit.lora import LoRA, adapter_disabled, add_lora
from hpedit.modules.sharding import shard_transformer


class Policy(nn.Module):
    """Owns the transformer of a loaded editor, so that Lightning moves, shards and saves it.

    With a LoRA the reference is the same transformer with the adapter off; where all weights are trained it is a
    frozen copy, kept only if ``keep_reference``.
    """

    def __init__(
        self,
        editor: Editor,
        lora: LoRA | None,
        *,
        keep_reference: bool = False,
        gradient_checkpointing: bool = False,
        compile_blocks: bool = False,
        mesh: DeviceMesh | None = None,
    ) -> None:
        super().__init__()
        editor.load()
        self.editor = editor
        self.lora = lora
        transformer: Any = editor.transformer
        self.transformer: nn.Module = transformer
        self.frozen_copy: nn.Module | None = None
        if lora is not None:
            add_lora(self.transformer, lora, editor.default_lora_targets)
        elif keep_reference:
            self.frozen_copy = copy.deepcopy(self.transformer).requires_grad_(False)
        if gradient_checkpointing:
            transformer.enable_gradient_checkpointing()
        if compile_blocks:
            transformer.compile_repeated_blocks()
        if mesh is not None:
            shard_transformer(self.transformer, mesh)
            if self.frozen_copy is not None:
                shard_transformer(self.frozen_copy, mesh)
        # No layer may behave differently in a rollout and in training: ratios would leave 1.
        self.eval()

    def train(self, mode: bool = True) -> Policy:
        """Stay in evaluation mode whatever Lightning asks for; gradients flow all the same."""
        return super().train(False)

    @contextmanager
    def reference(self) -> Iterator[None]:
        """Let the editor predict as the reference policy inside the context."""
        if self.lora is not None:
            with adapter_disabled(self.transformer):
                yield
        elif self.frozen_copy is not None:
            with self.editor.using(self.frozen_copy):
                yield
        else:
            raise RuntimeError(
                "the policy keeps no reference: it trains all weights and keep_reference is off"
            )
