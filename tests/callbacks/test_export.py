"""A short run's exported adapter, used as its users will use it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor

from callbacks.ema import TrainedWeightsEMA
from callbacks.export import AdapterExport
from callbacks.model_card import CardFacts, Validation, model_card
from datamodules.real_pref import RealPrefDataModule
from hpedit.editors.qwen_image_edit_plus import QwenImageEditPlusEditor
from hpedit.miniature.random_checkpoints import make_qwen_image_edit_plus
from hpedit.records import write_cases
from hpedit.sampling import EvalSettings, edit_cases
from hpedit.types import EditBatch
from tests.support.cases import grey_case
from train import main

EVAL = EvalSettings(num_steps=2)


def settings(folder: Path) -> dict[str, Any]:
    """A run of two rounds on four grey pictures, its learning rate large enough to see."""
    editor = {
        "model": str(folder / "tiny-editor"),
        "dtype": "float32",
        "reference_area": 1024,
        "condition_area": 784,
    }
    model = {
        "editor": {
            "class_path": "hpedit.editors.qwen_image_edit_plus.QwenImageEditPlusEditor",
            "init_args": editor,
        },
        "lora": {"rank": 2, "alpha": 4},
        "rollout": {"group_size": 2, "prompts_per_round": 2, "num_steps": 2, "window": {"size": 1}},
        "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 1e4}},
        "updates_per_pass": 1,
        "eval": {"num_steps": EVAL.num_steps},
    }
    data = {
        "data": str(folder / "cases.parquet"),
        "val_cases": 2,
        "batch_size": 2,
        "resolution": 32,
        "num_workers": 0,
    }
    callbacks = [
        {"class_path": "callbacks.ema.TrainedWeightsEMA"},
        {"class_path": "callbacks.export.AdapterExport", "init_args": {"keep_last": 1}},
        {"class_path": "lightning.pytorch.callbacks.ModelCheckpoint", "init_args": {"every_n_epochs": 1}},
    ]
    trainer = {
        "accelerator": "cpu",
        "devices": 1,
        "max_epochs": 2,
        "num_sanity_val_steps": -1,
        "callbacks": callbacks,
    }
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "log_every_n_steps": 1}
    return {
        "trainer": trainer | quiet,
        "model": {"class_path": "hpedit.modules.grpo.FlowGRPOModule", "init_args": model},
        "data": {"class_path": "datamodules.real_pref.RealPrefDataModule", "init_args": data},
        "reward": {"scorers": {"class_path": "tests.support.scorers.BrightnessScorer"}},
        "run": {"dir": str(folder / "runs"), "name": "export"},
    }


class Run:
    """What a finished run left behind."""

    def __init__(self, folder: Path) -> None:
        make_qwen_image_edit_plus(folder / "tiny-editor")
        write_cases(folder / "cases.parquet", [grey_case(40 * i) for i in range(1, 5)])
        (folder / "run.yaml").write_text(yaml.safe_dump(settings(folder)))
        cli = main(["fit", "--config", str(folder / "run.yaml")])
        self.module: Any = cli.model
        self.checkpoint = folder / "tiny-editor"
        self.adapters = folder / "runs/export/version_0/adapter"
        self.adapter = self.adapters / "round_0002"
        self.data: RealPrefDataModule = cli.datamodule
        self.ema = next(c for c in cli.trainer.callbacks if isinstance(c, TrainedWeightsEMA))  # type: ignore[attr-defined]

    def cases(self) -> EditBatch:
        return next(iter(self.data.val_dataloader()))

    def fresh_editor(self) -> QwenImageEditPlusEditor:
        editor = QwenImageEditPlusEditor(
            str(self.checkpoint), "float32", reference_area=1024, condition_area=784
        )
        editor.load()
        return editor

    def pictures(self, editor: QwenImageEditPlusEditor) -> Tensor:
        return edit_cases(editor, self.cases(), EVAL, torch.device("cpu")).images


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(tmp_path_factory.mktemp("export"))


def test_diffusers_loads_the_adapter_and_paints_what_the_validated_policy_paints(run: Run) -> None:
    run.ema.swap_in(run.module)
    trained = run.pictures(run.module.editor)
    run.ema.swap_out(run.module)
    fresh = run.fresh_editor()
    base = run.pictures(fresh)
    fresh.pipeline.load_lora_weights(str(run.adapter))
    assert torch.equal(run.pictures(fresh), trained)
    assert (base - trained).abs().max() > 0.01, "the adapter must do something, or the test says nothing"


def test_the_files_hold_the_average_and_training_keeps_its_own_weights(run: Run) -> None:
    exported = load_file(run.adapter / "pytorch_lora_weights.safetensors")
    average = {name.replace(".default.", "."): w for name, w in run.ema.average.items()}
    own = {name.replace(".default.", "."): w for name, w in run.module.named_parameters() if w.requires_grad}
    assert {f"policy.{name}" for name in exported} == set(average)
    assert all(torch.equal(w, average[f"policy.{name}"]) for name, w in exported.items())
    assert any(not torch.equal(w, own[f"policy.{name}"]) for name, w in exported.items())


def test_comfyui_gets_the_same_matrices_under_its_names(run: Run) -> None:
    diffusers = load_file(run.adapter / "pytorch_lora_weights.safetensors")
    comfyui = load_file(run.adapter / "comfyui_lora.safetensors")
    renamed = {f"diffusion_model.{name.removeprefix('transformer.')}": w for name, w in diffusers.items()}
    assert all(torch.equal(comfyui[name], w) for name, w in renamed.items())
    assert {float(w) for name, w in comfyui.items() if name not in renamed} == {4.0}  # alphas


def test_only_the_newest_rounds_are_kept_and_no_half_written_one(run: Run) -> None:
    assert [path.name for path in run.adapters.iterdir()] == ["round_0002"]


def test_the_card_tells_recipe_and_scores_but_no_path_of_this_machine(run: Run) -> None:
    card = (run.adapter / "README.md").read_text()
    meta = yaml.safe_load(card.split("---\n")[1])
    recipe = yaml.safe_load(card.split("```yaml\n")[1].split("```")[0])
    assert meta["base_model"] == "tiny-editor"
    assert recipe["model"]["init_args"]["lora"]["rank"] == 2
    assert recipe["data"]["init_args"]["data"] == "cases.parquet"
    assert str(run.checkpoint.parent) not in card
    assert "2 rounds, 2 updates, average weights" in card
    assert "| Task | base model | after round 2 |" in card
    validated = run.module.trainer.callback_metrics["val/hp_score"]
    assert f"**{float(validated):.2f}** |\n" in card


def test_a_card_without_scores_or_settings_says_so() -> None:
    card = model_card(CardFacts("owner/editor", "SFTModule", 1, 8, "last", None, None, {}))
    assert "Not validated." in card
    assert "there is no configuration file" in card


def test_a_task_that_was_not_scored_is_no_zero() -> None:
    before = Validation(0, 1.0, {"bokeh": 1.0})
    after = Validation(3, 2.5, {"bokeh": 2.5, "relighting": float("nan")})
    card = model_card(CardFacts("owner/editor", "FlowGRPOModule", 3, 6, "last", before, after, {}))
    assert "| bokeh | 1.00 | 2.50 |" in card
    assert "| relighting | - | - |" in card


def test_scores_survive_a_checkpoint(tmp_path: Path) -> None:
    export = AdapterExport()
    export.scores = Validation(3, 2.5, {"bokeh": 2.5})
    restored = AdapterExport()
    restored.load_state_dict(json.loads(json.dumps(export.state_dict())))
    assert (restored.before, restored.scores) == (None, export.scores)


def test_a_run_without_an_adapter_is_refused_before_it_starts(run: Run) -> None:
    module = type(run.module)(run.fresh_editor(), lora=None)
    with pytest.raises(ValueError, match=r"model\.lora"):
        AdapterExport().setup(run.module.trainer, module, "fit")


def test_nothing_to_keep_is_refused() -> None:
    with pytest.raises(ValueError, match="keep_last: wanted at least 1"):
        AdapterExport(keep_last=0)
