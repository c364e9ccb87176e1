from pathlib import Path
from typing import Any

import pytest
from jsonargparse import ArgumentParser
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy

from hpedit.modules.strategy import ShardedStrategy, renamed

CONFIGS = Path(__file__).parents[2] / "configs" / "strategy"


@pytest.mark.parametrize(("name", "kind"), [("ddp", DDPStrategy), ("fsdp", ShardedStrategy)])
def test_the_shipped_settings_make_a_trainer(name: str, kind: type):
    parser = ArgumentParser()
    parser.add_class_arguments(Trainer, "trainer", instantiate=True)
    parser.add_argument("--config", action="config")
    words = ["--trainer.accelerator=cpu", "--trainer.devices=2", "--trainer.logger=false"]
    made: Any = parser.instantiate_classes(parser.parse_args([f"--config={CONFIGS / name}.yaml", *words]))
    assert type(made.trainer.strategy) is kind
    assert made.trainer.world_size == 2


def test_an_optimizer_state_is_renamed_by_the_order_of_the_weights():
    """One process numbers the trained weights; a sharded checkpoint calls them by name; both keep their order."""
    saved: dict[str, Any] = {
        "state": {0: {"step": 1}, 2: {"step": 3}},
        "param_groups": [{"lr": 0.1, "params": [0, 1]}, {"lr": 0.2, "params": [2]}],
    }
    own: dict[str, Any] = {"param_groups": [{"lr": 9, "params": ["a", "b"]}, {"lr": 9, "params": ["c"]}]}
    assert renamed(saved, like=own) == {
        "state": {"a": {"step": 1}, "c": {"step": 3}},
        "param_groups": [{"lr": 0.1, "params": ["a", "b"]}, {"lr": 0.2, "params": ["c"]}],
    }


def test_another_number_of_weights_is_refused():
    with pytest.raises(ValueError, match=r"shorter|longer"):
        renamed(
            {"state": {}, "param_groups": [{"params": [0]}]}, like={"param_groups": [{"params": ["a", "b"]}]}
        )
