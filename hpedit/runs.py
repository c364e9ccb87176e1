"""Where configs are found and runs are written."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, TensorBoardLogger

CONFIGS = Path(__file__).resolve().parent.parent / "configs"


@dataclass
class RunFolder:
    """Folder of a run: ``dir/name/version_K``, with K the first free number, so that no run overwrites another.

    Attributes:
        dir: Folder of all runs.
        name: Name of this kind of run; the stem of the first --config where none is given.
        version: Number of the run; null takes the next free one, or with --ckpt_path last the one that goes on.
    """

    dir: str = "runs"
    name: str | None = None
    version: int | None = None

    def logger(self) -> Logger:
        return TensorBoardLogger(
            self.dir, name=self.name or "run", version=self.version, default_hp_metric=False
        )


def find_configs(args: Any) -> Any:
    """Let a bare ``--config grpo.yaml`` mean ``configs/grpo.yaml``, and name the run after the first one.

    Works on command-line style arguments (None takes sys.argv); anything else is returned as it is.
    """
    words = sys.argv[1:] if args is None else args
    if not isinstance(words, list):
        return args
    found, names = [], []
    for i, word in enumerate(words):
        flag, _, value = word.partition("=")
        if flag in ("--config", "-c") and value:
            found.append(f"{flag}={_locate(value)}")
            names.append(Path(value).stem)
        elif i and words[i - 1] in ("--config", "-c"):
            found.append(_locate(word))
            names.append(Path(word).stem)
        else:
            found.append(word)
    named = any(w.startswith(("--run.name", "--run=")) or w == "--run" for w in words)
    return found if named or not names else [*found, f"--run.name={names[0]}"]


def _locate(name: str) -> str:
    shipped = CONFIGS / name
    return str(shipped) if not Path(name).exists() and shipped.exists() else name


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint of ``folder/version_*/checkpoints`` that was written last, file or (sharded) folder."""
    found = [p for p in folder.glob("version_*/checkpoints/*") if not p.name.startswith(".")]
    return max(found, key=lambda p: p.stat().st_mtime, default=None)


def resume_last(config: Any) -> bool:
    """Replace ``ckpt_path: last`` by this run's newest checkpoint and go on in its folder. In place.

    Returns whether a checkpoint was found; where none was written yet, the run starts anew.
    """
    if config.get("ckpt_path") != "last":
        return False
    run = config.run
    newest = newest_checkpoint(Path(run.dir) / (run.name or "run"))
    config.ckpt_path = None if newest is None else str(newest)
    if newest is None:
        print(f"--ckpt_path last: no checkpoint under {run.dir}/{run.name or 'run'} yet, starting anew")
        return False
    run.version = int(newest.parent.parent.name.removeprefix("version_"))
    print(f"--ckpt_path last: going on from {newest}")
    return True
