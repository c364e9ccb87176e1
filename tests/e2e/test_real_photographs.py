"""The main job on real photographs: different sizes and shapes, all eight tasks, a judge behind HTTP."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hpedit.miniature.random_checkpoints import make_qwen2_5_vl, make_qwen_image_edit_plus
from hpedit.tasks import TASKS
from tests.support.photos import write_photo_dataset
from tests.support.vlm_server import Behaviour, VLMServer
from train import main

CONFIG = """
seed_everything: 0
trainer:
  accelerator: cpu
  devices: 1
  max_epochs: 2
  gradient_clip_val: 1.0
  num_sanity_val_steps: 0
  log_every_n_steps: 1
  enable_progress_bar: false
  enable_model_summary: false
  callbacks:
    - class_path: lightning.pytorch.callbacks.ModelCheckpoint
      init_args: {save_top_k: -1, save_on_train_epoch_end: true}
    - class_path: callbacks.image_grid.ImageGrid
      init_args: {every_n_rounds: 1}
model:
  class_path: hpedit.modules.grpo.FlowGRPOModule
  init_args:
    editor:
      class_path: hpedit.editors.qwen_image_edit_plus.QwenImageEditPlusEditor
      init_args: {dtype: float32, reference_area: 4096, condition_area: 3136}
    lora: {rank: 4, alpha: 8}
    rollout:
      group_size: 3
      prompts_per_round: 8
      num_steps: 3
      true_cfg: 2.0
      window: {size: 1}
      chunk_size: 6
    micro_batch_size: 3
    updates_per_pass: 2
    eval: {num_steps: 2}
data:
  class_path: datamodules.real_pref.RealPrefDataModule
  init_args: {batch_size: 2, val_batch_size: 4, val_cases: 4, resolution: 64, source_resolution: 96, num_workers: 0}
reward:
  max_failed_share: 0.5
  scorers:
    class_path: hpedit.scorers.hp_scorer.HPScorer
    init_args:
      backend:
        class_path: hpedit.scorers.openai_backend.OpenAIBackend
        init_args: {model: tiny-judge, retries: 0}
"""


@pytest.mark.slow
def test_flow_grpo_runs_on_photographs_with_a_judge_over_http(tmp_path: Path):
    photos = write_photo_dataset(tmp_path / "data", longest_side=160)
    editor = make_qwen_image_edit_plus(tmp_path / "editor")
    judge = make_qwen2_5_vl(tmp_path / "judge")
    config = tmp_path / "photos.yaml"
    config.write_text(CONFIG)
    with VLMServer(judge, Behaviour(fail_every=10, boost=12.0, gain=40.0)) as server:
        cli = main(
            [
                "fit",
                "--config",
                str(config),
                f"--run.dir={tmp_path / 'runs'}",
                f"--data.data={photos.parquet}",
                f"--model.editor.model={editor}",
                f"--reward.scorers.backend.base_url={server.url}",
            ]
        )
        asked = len(server.chats)
    # 2 rounds of 8 cases x 3 edits, 4 held-out cases after each; every tenth call failed and was not asked again.
    assert asked >= 2 * (8 * 3 + 4)
    assert cli.trainer.global_step == 4
    weights = [p for p in cli.model.parameters() if p.requires_grad]
    assert weights
    assert all(torch.isfinite(p).all() for p in weights)

    events = EventAccumulator(cli.trainer.log_dir).Reload()

    def last(tag: str) -> float:
        return events.Scalars(tag)[-1].value

    assert 0 < last("reward/failed_share") < 0.5
    assert 0 <= last("score/mean") <= 5
    assert last("train/grad_norm") > 0
    assert math.isfinite(last("val/hp_score"))
    assert {t.rsplit("/", 1)[-1] for t in events.Tags()["scalars"] if t.startswith("score/")} & set(TASKS)
    assert "edits/train" in events.Tags()["images"]
    assert len(list(Path(cli.trainer.log_dir, "checkpoints").glob("*.ckpt"))) == 2
