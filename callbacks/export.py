"""The trained adapter as files that other programs read, written whenever a checkpoint is."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
from torch import Tensor
from torch.distributed.tensor import DTensor

from callbacks.ema import TrainedWeightsEMA
from callbacks.model_card import CardFacts, Validation, model_card, public_name, read_config
from hpedit.lora import save_lora, save_lora_comfyui
from hpedit.rollout import RolloutOwner


class AdapterExport(pl.Callback):
    """Writes ``adapter/round_NNNN`` into the run's folder at every checkpoint and at the end of the run.

    Each holds the adapter for diffusers (``pipe.load_lora_weights``), the same for ComfyUI, and a model card. The
    weights are the EMA's where a TrainedWeightsEMA evaluates with it, so that the card's scores are those of the files.
    A folder appears whole or not at all.

    Args:
        keep_last: Newest rounds that are kept; null keeps all.
        comfyui: Also write the file for ComfyUI.
    """

    def __init__(self, keep_last: int | None = 3, comfyui: bool = True) -> None:
        if keep_last is not None and keep_last < 1:
            raise ValueError(f"AdapterExport.keep_last: wanted at least 1 or null, got {keep_last}")
        self.keep_last = keep_last
        self.comfyui = comfyui
        self.before: Validation | None = None
        self.scores: Validation | None = None
        self.exported_step = -1

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage == "fit" and getattr(pl_module, "lora", None) is None:
            raise ValueError("AdapterExport: wanted an adapter to export (model.lora), got none")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn != "fit":
            return
        if not trainer.sanity_checking:
            self.scores = Validation.of(trainer.callback_metrics, trainer.current_epoch + 1)
        elif trainer.num_sanity_val_batches == trainer.num_val_batches:  # of all cases, so it can be compared
            self.scores = self.before = Validation.of(trainer.callback_metrics, 0)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._export(trainer, pl_module, rounds=trainer.current_epoch + 1)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._export(trainer, pl_module, rounds=trainer.current_epoch)

    def _export(self, trainer: pl.Trainer, pl_module: pl.LightningModule, rounds: int) -> None:
        """Write one folder, once for each state of the weights. Called on every rank, since all hold a part."""
        if trainer.state.fn != "fit" or self.exported_step == trainer.global_step:
            return
        self.exported_step = trainer.global_step
        average = _average(trainer)
        weights = _whole_weights(pl_module, average)
        root = Path(trainer.log_dir or trainer.default_root_dir)  # asks the other ranks
        if trainer.is_global_zero:
            facts = self._facts(trainer, pl_module, rounds, "average" if average else "last", root)
            self._write(root / "adapter", rounds, pl_module, weights, model_card(facts))

    def _write(
        self, folder: Path, rounds: int, pl_module: pl.LightningModule, weights: dict[str, Tensor], card: str
    ) -> None:
        transformer = cast(RolloutOwner, pl_module).editor.transformer
        target, partial = folder / f"round_{rounds:04d}", folder / f".round_{rounds:04d}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        try:
            save_lora(transformer, partial, weights)
            if self.comfyui:
                save_lora_comfyui(transformer, partial, weights)
            (partial / "README.md").write_text(card, encoding="utf-8")
            shutil.rmtree(target, ignore_errors=True)
            partial.rename(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        if self.keep_last is not None:
            for old in sorted(folder.glob("round_*"))[: -self.keep_last]:
                shutil.rmtree(old)

    def _facts(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, rounds: int, weights: str, root: Path
    ) -> CardFacts:
        editor = cast(RolloutOwner, pl_module).editor
        return CardFacts(
            base_model=public_name(str(getattr(editor, "model", type(editor).__name__))),
            method=type(pl_module).__name__,
            rounds=rounds,
            updates=trainer.global_step,
            weights=weights,
            before=self.before,
            scores=self.scores,
            config=read_config(root),
        )

    def state_dict(self) -> dict[str, Any]:
        return {
            name: None if v is None else vars(v)
            for name, v in (("before", self.before), ("scores", self.scores))
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.before, self.scores = (
            None if state_dict[name] is None else Validation(**state_dict[name])
            for name in ("before", "scores")
        )


def _average(trainer: pl.Trainer) -> dict[str, Tensor]:
    """Return the averaged weights by name, as the module names them; none where evaluation does not use them."""
    emas = [c for c in trainer.callbacks if isinstance(c, TrainedWeightsEMA) and c.evaluate]  # type: ignore[attr-defined]
    return emas[0].average if emas else {}


def _whole_weights(pl_module: pl.LightningModule, average: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the trained weights, or their average, by the transformer's names; gathered where they are sharded."""
    named = {id(p): name for name, p in pl_module.named_parameters()}
    transformer = cast(RolloutOwner, pl_module).editor.transformer
    weights = {n: average.get(named[id(p)], p) for n, p in transformer.named_parameters() if p.requires_grad}
    return {n: (w.full_tensor() if isinstance(w, DTensor) else w).detach().cpu() for n, w in weights.items()}
