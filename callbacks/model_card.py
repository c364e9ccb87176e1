"""The README.md beside an exported adapter: what it is, how to use it, how it scored and how it was made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from hpedit.lora_files import COMFYUI_FILE, DIFFUSERS_FILE
from hpedit.tasks import TASKS

# Sections of a run's config.yaml that say how the weights came to be.
_RECIPE = ("model", "reward", "data", "seed_everything")


@dataclass(frozen=True)
class Validation:
    """Held-out HP-Scores in [0, 5], after ``rounds`` rounds; 0 is the base model.

    Attributes:
        overall: macro mean over the tasks; None where nothing was scored.
        by_task: mean of each task.
    """

    rounds: int
    overall: float | None = None
    by_task: Mapping[str, float] = field(default_factory=dict)

    @staticmethod
    def of(figures: Mapping[str, Any], rounds: int) -> Validation:
        """Pick the scores out of a trainer's metrics (val/hp_score and val/hp_score/<task>)."""
        overall = figures.get("val/hp_score")
        by_task = {task: float(figures[k]) for task in TASKS if (k := f"val/hp_score/{task}") in figures}
        return Validation(rounds, None if overall is None else float(overall), by_task)


@dataclass(frozen=True)
class CardFacts:
    """What a card tells.

    Attributes:
        base_model: hub id, or name of the folder, of the editor that the adapter is for.
        method: how it was trained, such as "FlowGRPOModule".
        rounds, updates: rounds (epochs) and optimizer updates done.
        weights: "last" or "average" (EMA).
        before: scores of the base model, where it was validated.
        scores: scores of the last validation, if there was one.
        config: the run's settings; empty where it was not started from the command line.
    """

    base_model: str
    method: str
    rounds: int
    updates: int
    weights: str
    before: Validation | None
    scores: Validation | None
    config: Mapping[str, Any]


def model_card(facts: CardFacts) -> str:
    """Return the card as Markdown with the metadata that the Hugging Face hub reads."""
    name = facts.base_model
    return f"""---
base_model: {name}
library_name: diffusers
tags: [lora, image-editing, human-preference]
---

# LoRA for {name}

Trained with hpedit's {facts.method}: {facts.rounds} rounds, {facts.updates} updates, {facts.weights} weights.

```python
from diffusers import DiffusionPipeline

pipe = DiffusionPipeline.from_pretrained("{name}")
pipe.load_lora_weights("path/to/this/folder", weight_name="{DIFFUSERS_FILE}")
```

ComfyUI reads `{COMFYUI_FILE}`.

## HP-Score

{_score_table(facts.before, facts.scores)}

## Recipe

{_recipe(facts.config)}
"""


def read_config(folder: Path) -> dict[str, Any]:
    """Return the settings that the command line saved in a run's folder, none where there are none."""
    path = folder / "config.yaml"
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}


def public_name(model: str) -> str:
    """Return a hub id as it is, and the last part of a path that exists: nobody else has the rest of it."""
    return Path(model).name if Path(model).exists() else model


def _score_table(before: Validation | None, scores: Validation | None) -> str:
    if scores is None or scores.overall is None:
        return "Not validated."
    columns = [scores] if before is None or before.overall is None else [before, scores]
    names = ["base model" if v.rounds == 0 else f"after round {v.rounds}" for v in columns]
    lines = [["Task", *names], ["---", *("---:" for _ in columns)]]
    lines += [
        [task.replace("_", " "), *(_figure(v.by_task.get(task)) for v in columns)] for task in scores.by_task
    ]
    lines += [["**mean of the tasks**", *(f"**{_figure(v.overall)}**" for v in columns)]]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _figure(score: float | None) -> str:
    return "-" if score is None or math.isnan(score) else f"{score:.2f}"


def _recipe(config: Mapping[str, Any]) -> str:
    parts = {section: _public(config[section]) for section in _RECIPE if section in config}
    if not parts:
        return "Trained from Python; there is no configuration file."
    return f"```yaml\n{yaml.safe_dump(parts, sort_keys=False)}```"


def _public(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _public(v) for key, v in value.items()}
    if isinstance(value, list):
        return [_public(v) for v in value]
    return public_name(value) if isinstance(value, str) else value
