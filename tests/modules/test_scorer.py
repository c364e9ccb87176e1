"""A VLM that learns people's ratings, asked exactly as HPScorer asks it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader

from hpedit.lora import LoRA
from hpedit.miniature.random_checkpoints import make_qwen2_5_vl, make_qwen3_vl
from hpedit.modules.scorer import RatingLoss, ScorerModule
from hpedit.scorers.base import ScoreRequest
from hpedit.scorers.hp_scorer import HPScorer
from hpedit.scorers.rated import RatedBatch
from hpedit.scorers.rating_losses import expected_score, rating_distribution
from hpedit.scorers.transformers_backend import TransformersBackend
from hpedit.tasks import TASKS

SHORT = """version: "1"
provenance: a test
order: rubric_first
preamble: {preamble}
scale: {{0: a, 1: b, 2: c, 3: d, 4: e, 5: f}}
checks: []
answer: "Score:"
"""


@pytest.fixture(scope="session")
def judges(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("judges")
    return {"2.5": str(make_qwen2_5_vl(folder / "2.5")), "3": str(make_qwen3_vl(folder / "3"))}


@pytest.fixture(scope="session")
def short(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a base prompt of a few words: most of a chat's cost is the prompt."""
    folder = tmp_path_factory.mktemp("short")
    (folder / "base.yaml").write_text(SHORT.format(preamble="Rate the edit."))
    return str(folder)


def rated(*ratings: float, dimension: str = "overall") -> RatedBatch:
    """Edits of one case: red, green, blue."""
    source = torch.zeros(3, 56, 56, dtype=torch.uint8)
    edits = [(torch.arange(3) == i).view(3, 1, 1).expand(3, 56, 56).byte() * 255 for i in range(len(ratings))]
    requests = [
        ScoreRequest("case", TASKS[i % 8], "Add a cat.", "", (source,), edit) for i, edit in enumerate(edits)
    ]
    target = torch.stack([rating_distribution([value]) for value in ratings])
    return RatedBatch(requests, [dimension] * len(ratings), target)


def brisk(params: Any) -> torch.optim.AdamW:
    return torch.optim.AdamW(params, lr=5e-3)


def module(folder: str, **settings: Any) -> ScorerModule:
    scorer = ScorerModule(folder, **{"lora": None, "optimizer": brisk} | settings)
    scorer.configure_model()
    return scorer


def fit(scorer: ScorerModule, batch: RatedBatch, folder: Path, steps: int) -> pl.Trainer:
    loader: Any = DataLoader([batch], batch_size=None)  # type: ignore[arg-type]
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=steps,
        check_val_every_n_epoch=steps,
        num_sanity_val_steps=0,
        logger=CSVLogger(str(folder)),
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(scorer, loader, loader)
    return trainer


@pytest.mark.parametrize("kind", ["2.5", "3"])
def test_its_expectation_is_the_score_of_hp_scorer_on_the_same_weights(judges: dict[str, str], kind: str):
    batch = rated(1, 2, 3)
    scorer = HPScorer(TransformersBackend(judges[kind], "float32", "cpu"), min_mass=0.0)
    with torch.no_grad():
        mine = expected_score(module(judges[kind])(batch))
    assert mine.tolist() == pytest.approx([s.value for s in scorer.score(batch.requests)], abs=1e-5)


@pytest.mark.parametrize("lora", [None, LoRA(rank=8, alpha=16)], ids=["all weights", "lora"])
def test_it_learns_to_rank_a_case_and_what_it_wrote_scores_as_it_does(
    judges: dict[str, str], short: str, tmp_path: Path, lora: LoRA | None
):
    batch = rated(0, 2, 5)
    settings: Any = {"prompts": {"overall": short}, "task_aware": False, "export_dtype": "float32"}
    scorer = module(judges["2.5"], lora=lora, loss=RatingLoss(preference_weight=1.0), **settings)
    before = expected_score(scorer(batch)).detach()
    trainer = fit(scorer, batch, tmp_path, steps=40)
    after = expected_score(scorer(batch)).detach()
    assert (after - batch.rating).abs().mean() < 0.8 * (before - batch.rating).abs().mean()
    assert trainer.callback_metrics["val/overall/within_case"] == pytest.approx(1, abs=1e-3)
    assert trainer.callback_metrics["train/pair_accuracy"] == 1
    backend = TransformersBackend(f"{trainer.log_dir}/vlm", "float32", "cpu")
    scores = HPScorer(backend, prompts=short, task_aware=False, min_mass=0.0).score(batch.requests)
    assert [s.value for s in scores] == pytest.approx(after.tolist(), abs=1e-3)


def test_the_dimension_chooses_the_prompt(judges: dict[str, str], tmp_path: Path):
    for name in ("quality", "match"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "base.yaml").write_text(SHORT.format(preamble=f"Rate the {name}."))
    prompts: Any = {name: str(tmp_path / name) for name in ("quality", "match")}
    scorer = module(judges["2.5"], prompts=prompts, task_aware=False)
    with torch.no_grad():
        quality, match = (scorer(rated(1, dimension=name)) for name in ("quality", "match"))
    assert (quality - match).abs().max() > 1e-4
    with pytest.raises(ValueError, match=r"--model\.prompts.*'style'"):
        scorer(rated(1, dimension="style"))


def test_a_checkpoint_of_a_lora_holds_the_adapter_alone(judges: dict[str, str], short: str, tmp_path: Path):
    scorer = module(judges["2.5"], lora=LoRA(rank=2), prompts={"overall": short}, task_aware=False)
    trainer = fit(scorer, rated(1, 4), tmp_path, steps=1)
    checkpoint = {"state_dict": scorer.state_dict()}
    scorer.on_save_checkpoint(checkpoint)
    assert trainer.global_step == 1
    assert all(".lora_" in name for name in checkpoint["state_dict"])


@pytest.mark.parametrize("wrong", [{"preference_weight": -1.0}, {"min_gap": 0.0}])
def test_settings_out_of_range_are_named(wrong: dict[str, float]):
    with pytest.raises(ValueError, match=r"--model\.loss: wanted"):
        RatingLoss(**wrong)
