"""Supervised fine-tuning on the tiny editor."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from hpedit.modules.sft import SFTModule
from hpedit.sampling import EvalSettings
from hpedit.types import EditedBatch
from tests.modules import support


def module(checkpoint: str, **settings: Any) -> SFTModule:
    return SFTModule(
        support.tiny_editor(checkpoint),
        support.LORA,
        optimizer=support.adam,
        eval=EvalSettings(num_steps=1),
        **settings,
    )


class Losses(support.pl.Callback):
    def __init__(self) -> None:
        self.values: list[float] = []

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.values.append(float(outputs["loss"]))


class Encodings:
    """Counts the cases that an editor encodes, and the targets."""

    def __init__(self, editor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cases = self.targets = 0
        encode, encode_target = editor.encode, editor.encode_target

        def counted(batch: Any, negative: bool) -> Any:
            self.cases += len(batch)
            return encode(batch, negative)

        def counted_target(images: Any) -> Any:
            self.targets += len(images)
            return encode_target(images)

        monkeypatch.setattr(editor, "encode", counted)
        monkeypatch.setattr(editor, "encode_target", counted_target)


def test_the_loss_falls_on_one_batch(checkpoint: str):
    losses = Losses()
    run = support.trainer(40, [losses])
    run.fit(module(checkpoint, cache_conditions=True), support.batches([support.cases(0, 4, targets=True)]))
    first, last = losses.values[:8], losses.values[-8:]
    assert sum(last) < 0.8 * sum(first)


@pytest.mark.parametrize(("cached", "encoded"), [(True, 3), (False, 9)])
def test_cached_conditions_are_encoded_once(
    checkpoint: str, cached: bool, encoded: int, monkeypatch: pytest.MonkeyPatch
):
    sft = module(checkpoint, cache_conditions=cached)
    count = Encodings(sft.editor, monkeypatch)
    data = [support.cases(0, 2, targets=True), support.cases(1, 2, targets=True)]  # case1 is in both
    if not cached:
        data = [support.cases(0, 3, targets=True)]
    support.trainer(3, []).fit(sft, support.batches(data))
    assert (count.cases, count.targets) == (encoded, encoded)


def test_a_cached_condition_trains_as_a_fresh_one(checkpoint: str):
    """Up to the order of rows in the text encoder's sums."""
    weights = []
    for cached in (True, False):
        sft = module(checkpoint, cache_conditions=cached)
        support.trainer(3, []).fit(sft, support.batches([support.cases(0, 2, targets=True)]))
        weights.append(support.trained(sft))
    assert all(torch.allclose(weights[0][name], weights[1][name], atol=1e-5) for name in weights[0])


def test_a_case_without_a_target_is_named(checkpoint: str):
    with pytest.raises(ValueError, match="case7: SFT wants an edited picture"):
        support.trainer(1, []).fit(module(checkpoint), support.batches([support.cases(7, 2)]))


def test_validation_gives_edits_to_score(checkpoint: str):
    sft = module(checkpoint)
    sft.configure_model()
    edits = sft.validation_step(support.cases(0, 2), 0)
    assert isinstance(edits, EditedBatch)
    assert edits.images.shape == (2, 3, 64, 64)
