"""Every YAML that ships, alone and composed, as the command line reads it; weights are only read by a run."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import lightning.pytorch as pl
import pytest
import torch
import yaml

from callbacks.reward import RewardCallback
from hpedit.miniature.random_checkpoints import make_qwen_image_edit_plus
from hpedit.modules.grpo import FlowGRPOModule
from hpedit.modules.scorer import ScorerModule
from hpedit.plan import RoundPlan, plan_round
from hpedit.records import write_cases
from hpedit.runs import CONFIGS, find_configs
from hpedit.scorers.hp_scorer import HPScorer
from hpedit.scorers.openai_backend import OpenAIBackend
from tests.support.cases import grey_case
from train import EditCLI, main

FILES = sorted(str(path.relative_to(CONFIGS)) for path in CONFIGS.rglob("*.yaml"))
# Those of `python -m hpedit build` are read in tests/commands/test_build.py and tests/build.
NAMES = [name for name in FILES if not name.startswith("build")]
# Parts say only what they change, and are composed with a whole preset.
PARTS = [name for name in NAMES if "/" in name or name == "debug.yaml"]
JUDGES = ["miniature_judge.yaml", "scorer.yaml"]  # train a scorer, so they have neither editor nor reward
PRESETS = [name for name in NAMES if name not in (*PARTS, *JUDGES)]
EDITORS = [name for name in PARTS if name.startswith("editor/")]
SCORERS = [name for name in PARTS if name.startswith("scorer/")]
GRPO_PRESETS = ["grpo.yaml", "grpo_kontext.yaml"]


class UnrunCLI(EditCLI):
    """The project's command line up to the point where a run would start."""

    def _run_subcommand(self, subcommand: str) -> None:
        pass


class Run(NamedTuple):
    """What a command line describes."""

    model: Any
    data: Any
    trainer: pl.Trainer

    @property
    def rewards(self) -> list[RewardCallback]:
        return [c for c in self.trainer.callbacks if isinstance(c, RewardCallback)]  # type: ignore[attr-defined]


Compose = Callable[..., Run]


@pytest.fixture(scope="module")
def compose() -> Compose:
    """Read configs as ``fit --config ...`` does, on a machine without a GPU, and build what they describe."""
    cli = UnrunCLI(
        ["fit", "--config", "quickstart.yaml"]
    )  # building the parsers takes longest, and is done once

    @cache
    def read(*configs: str) -> Run:
        given = [word for name in configs for word in ("--config", name)]
        words, _ = find_configs(["fit", *given, "--trainer.accelerator=cpu"])
        cli.config = cli.parser.parse_args(words)
        cli.instantiate_classes()
        return Run(cli.model, cli.datamodule, cli.trainer)

    return read


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_a_whole_run(compose: Compose, name: str) -> None:
    run = compose(name)
    assert len(run.rewards) == 1
    with pytest.raises(RuntimeError, match="not loaded"):
        _ = run.model.editor.transformer


@pytest.mark.parametrize("name", JUDGES)
def test_a_judge_s_preset_is_a_whole_run_that_reads_no_weights_yet(compose: Compose, name: str) -> None:
    run = compose(name)
    assert isinstance(run.model, ScorerModule)
    assert run.model.vlm is None
    assert set(run.data.dimensions) == set(run.model.prompts)
    assert run.rewards == []


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("preset", GRPO_PRESETS)
def test_a_part_composes_with_a_preset_and_drops_no_reward(compose: Compose, preset: str, part: str) -> None:
    run = compose(preset, part)
    assert isinstance(run.model, FlowGRPOModule)
    assert len(run.rewards) == 1
    assert round_plan(run.model, 1, run.data.batch_size).samples > 0


@pytest.mark.parametrize("scorer", SCORERS)
@pytest.mark.parametrize("name", ["dpo.yaml", "sft.yaml"])
def test_a_scorer_composes_with_the_other_trainings(compose: Compose, name: str, scorer: str) -> None:
    assert len(compose(name, scorer).rewards) == 1


def round_plan(module: FlowGRPOModule, world_size: int, batch_size: int) -> RoundPlan:
    return plan_round(
        prompts_per_round=module.rollout.prompts_per_round,
        group_size=module.rollout.group_size,
        window_size=module.rollout.window_size,
        inner_epochs=module.inner_epochs,
        micro_batch_size=module.micro_batch_size,
        batch_size=batch_size,
        world_size=world_size,
        updates=module.updates_per_pass,
    )


@pytest.mark.parametrize("name", GRPO_PRESETS)
@pytest.mark.parametrize("world_size", [1, 2, 8])
def test_a_round_divides_over_one_gpu_and_over_many(compose: Compose, name: str, world_size: int) -> None:
    run = compose(name)
    plan = round_plan(run.model, world_size, run.data.batch_size)
    assert plan.samples * world_size == run.model.rollout.prompts_per_round * run.model.rollout.group_size


def test_the_main_preset_is_the_papers_recipe(compose: Compose) -> None:
    run = compose("grpo.yaml")
    model, reward = run.model, run.rewards[0]
    assert model.editor.model == "Qwen/Qwen-Image-Edit-2509"
    assert model.lora.rank == 32
    optimizer = model.make_optimizer([torch.nn.Parameter(torch.zeros(1))])
    assert isinstance(optimizer, torch.optim.AdamW)
    assert optimizer.defaults["lr"] == 3e-4
    assert (reward.alpha, reward.beta) == (2, 5)
    scorer = reward.scorers[0].scorer
    assert isinstance(scorer, HPScorer)
    assert isinstance(scorer.backend, OpenAIBackend)
    assert scorer.backend.model == "Qwen/Qwen3-VL-32B-Instruct"


@pytest.mark.parametrize("preset", GRPO_PRESETS)
@pytest.mark.parametrize("editor", EDITORS)
def test_an_editor_brings_the_guidance_that_it_can_use(compose: Compose, preset: str, editor: str) -> None:
    model = compose(preset, editor).model
    embedded = 2.5 if "kontext" in editor else None
    assert model.rollout.embedded_guidance == model.eval_settings.embedded_guidance == embedded
    assert model.rollout.true_cfg == model.eval_settings.true_cfg
    assert embedded is None or model.rollout.true_cfg == 1
    assert Path(editor).stem.split("_")[-1].lower() in model.editor.model.lower()


def test_the_frozen_base_is_coarse_and_what_is_trained_is_not(compose: Compose) -> None:
    for name in ["grpo.yaml", "grpo_kontext.yaml", "dpo.yaml", "sft.yaml"]:
        run = compose(name)
        assert run.trainer.precision == "bf16-mixed", name
        assert run.model.editor.dtype is torch.bfloat16, name
        assert run.model.lora.dtype == "float32", name


@pytest.mark.parametrize(
    ("misspelt", "setting"),
    [
        ("max_epoch", {"trainer": {"max_epoch": 3}}),
        ("group_sise", {"model": {"init_args": {"rollout": {"group_sise": 4}}}}),
        ("reference_aria", {"model": {"init_args": {"editor": {"init_args": {"reference_aria": 4096}}}}}),
        ("resolutoin", {"data": {"init_args": {"resolutoin": 64}}}),
        ("gamma", {"reward": {"gamma": 2.0}}),
        ("reword", {"reword": {"alpha": 2.0}}),
    ],
)
def test_a_misspelt_setting_is_refused_by_its_name(
    compose: Compose, tmp_path: Path, misspelt: str, setting: dict, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(setting))
    with pytest.raises(SystemExit):
        compose("grpo.yaml", str(tmp_path / "mine.yaml"))
    assert misspelt in capsys.readouterr().err


@pytest.mark.parametrize("preset", GRPO_PRESETS)
def test_debug_runs_a_preset_and_writes_no_file(
    tmp_path: Path, preset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor = make_qwen_image_edit_plus(tmp_path / "editor")
    write_cases(tmp_path / "cases.parquet", [grey_case(40 * i) for i in range(1, 6)])
    files = sorted(filter(Path.is_file, tmp_path.rglob("*")))
    monkeypatch.chdir(tmp_path)
    # The shipped miniature is replaced by a random one, so that this says nothing about training quality.
    instead = [f"--model.editor.init_args.model={editor}", f"--data.data={tmp_path / 'cases.parquet'}"]
    instead += ["--reward.scorers=tests.support.scorers.BrightnessScorer", "--data.resolution=32"]
    done = main(["fit", "--config", preset, "--config", "debug.yaml", *instead])
    assert done.trainer.global_step == 1
    assert sorted(filter(Path.is_file, tmp_path.rglob("*"))) == files
