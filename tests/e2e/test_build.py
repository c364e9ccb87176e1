"""From a folder of photographs to a trained adapter: every stage of a build, then the main job on what it published."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from datasets import load_dataset

from hpedit.__main__ import main as hpedit
from hpedit.miniature.random_checkpoints import make_qwen2_5_vl, make_qwen_image_edit_plus
from hpedit.records import read_cases
from hpedit.tasks import TASKS
from tests.support.photos import write_photo_dataset
from tests.support.scripted_vlm import ScriptedServer, good_reply
from tests.support.tiny_clip import make_clip
from train import main as train

BUILD = """
collect: {{folders: [{{path: {photos}, name: shipped, license: CC0}}], min_side: 64}}
categorise: {{model: {clip}, device: cpu}}
annotate:
  writer:
    class_path: hpedit.build.writer.InstructionWriter
    init_args:
      backend: &judge
        class_path: hpedit.scorers.openai_backend.OpenAIBackend
        init_args: {{base_url: {url}, model: tiny-judge, max_tokens: 256, retries: 0}}
  per_photo: 4
balance: {{size: 12}}
edit:
  editor:
    class_path: hpedit.editors.qwen_image_edit_plus.QwenImageEditPlusEditor
    init_args: {{model: {editor}, dtype: float32, reference_area: 4096, condition_area: 784}}
  sampling: {{num_steps: 2, samples_per_case: 2}}
  resolution: 64
  device: cpu
  chunk_rows: 4
score:
  scorer: {{class_path: hpedit.scorers.hp_scorer.HPScorer, init_args: {{backend: *judge}}}}
  patience: 0
filter:
  rule: {{by: expectation, over: best, solved: 4.9}}
  difficulty: {{least: 0.2}}
publish: {{title: Shipped photographs, license: cc0-1.0, validation: 0.25, min_gap: 0.01}}
"""

TRAIN = """
seed_everything: 0
trainer:
  accelerator: cpu
  devices: 1
  max_epochs: 1
  num_sanity_val_steps: 0
  enable_progress_bar: false
  enable_model_summary: false
model:
  class_path: hpedit.modules.grpo.FlowGRPOModule
  init_args:
    editor:
      class_path: hpedit.editors.qwen_image_edit_plus.QwenImageEditPlusEditor
      init_args: {dtype: float32, reference_area: 4096, condition_area: 784}
    lora: {rank: 4, alpha: 8}
    rollout: {group_size: 2, prompts_per_round: 4, num_steps: 3, window: {size: 1}, chunk_size: 4}
    micro_batch_size: 2
    eval: {num_steps: 2}
data:
  class_path: datamodules.real_pref.RealPrefDataModule
  init_args: {batch_size: 2, val_batch_size: 2, resolution: 64, num_workers: 0}
reward: {scorers: {class_path: tests.support.scorers.BrightnessScorer}}
"""


@pytest.mark.slow
def test_photographs_become_a_published_data_set_that_trains(tmp_path: Path):
    photos = write_photo_dataset(tmp_path / "data", longest_side=160).folder
    (photos / "broken.png").write_bytes((photos / "coffee.png").read_bytes()[:1000])
    os.link(photos / "coffee.png", photos / "coffee-again.png")
    editor, clip = make_qwen_image_edit_plus(tmp_path / "editor"), make_clip(tmp_path / "clip")
    work, config = tmp_path / "work", tmp_path / "build.yaml"
    with ScriptedServer(make_qwen2_5_vl(tmp_path / "judge"), good_reply) as server:
        server.behaviour.boost, server.behaviour.gain, server.behaviour.fail_every = 12.0, 40.0, 17
        config.write_text(BUILD.format(photos=photos, clip=clip, url=server.url, editor=editor))
        hpedit(["build", "--config", str(config), "--work", str(work)])
        asked = len(server.chats)
        hpedit(["build", "--config", str(config), "--work", str(work)])
        assert len(server.chats) == asked, "a finished build asks nobody"

    report = {s["name"]: s for s in json.loads((work / "build_report.json").read_text())}
    names = "collect deduplicate categorise annotate balance edit score filter publish"
    assert list(report) == names.split()
    assert (report["collect"]["records_out"], report["collect"]["quarantined"]) == (7, 1)
    assert report["deduplicate"]["records_out"] == 6
    published = next(work.glob("09-publish-*"))
    data = load_dataset(str(published), cache_dir=str(tmp_path / "cache"))
    cases = list(read_cases(str(published / "data" / "*.parquet")))
    assert sum(len(split) for split in data.values()) == len(cases) == report["filter"]["records_out"] >= 8
    assert len({case.task for case in cases}) >= 5
    for case in cases:
        assert case.task in TASKS
        assert len(case.candidates) == 2
        assert case.categories
        assert case.provenance.license == "CC0"
        assert any(s.value is not None and len(s.dist) == 6 for s in case.scores)
    assert len({case.weight for case in cases}) > 1
    assert (published / "charts" / "categories.png").stat().st_size > 1000
    # Every stage's loss is told: what comes in goes out, is left out, or is in quarantine with a reason.
    for name in ("collect", "deduplicate", "categorise", "balance", "edit", "score", "filter"):
        stage = report[name]
        assert stage["records_in"] == stage["records_out"] + stage["left_out"] + stage["quarantined"]
        assert stage["quarantined"] == sum(stage["reasons"].values())

    (tmp_path / "train.yaml").write_text(TRAIN)
    cli = train(
        [
            *("fit", "--config", str(tmp_path / "train.yaml"), f"--run.dir={tmp_path / 'runs'}"),
            f"--data.data={published}",
            f"--data.val_data={published}/data/validation-*.parquet",
            f"--model.editor.model={editor}",
        ]
    )
    assert cli.trainer.global_step >= 1
    weights = [p for p in cli.model.parameters() if p.requires_grad]
    assert all(torch.isfinite(p).all() for p in weights)
    assert any(p.abs().sum() > 0 for name, p in cli.model.named_parameters() if "lora_B" in name)
