"""Where configs are found and runs are written."""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_info, rank_zero_only

_PACKAGE = Path(__file__).resolve().parent
# Inside the package where it was installed from a wheel (setup.py), beside it in a checkout.
CONFIGS = next(p for p in (_PACKAGE / "configs", _PACKAGE.parent / "configs") if p.is_dir())
_CONFIG_FLAGS = ("--config", "-c")


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
        """Make the logger of a run, which gives the run its folder."""
        version = _reserve(Path(self.dir, self.name or "run")) if self.version is None else self.version
        return TensorBoardLogger(self.dir, self.name or "run", version, default_hp_metric=False)


@rank_zero_only
def _reserve(kind: Path) -> int:
    """Make the first free ``version_K`` folder and return K. Two runs that start at once get two folders."""
    kind.mkdir(parents=True, exist_ok=True)
    taken = [int(m[1]) for p in kind.iterdir() if (m := re.fullmatch(r"version_(\d+)", p.name))]
    version = max(taken, default=-1) + 1
    while True:
        try:
            (kind / f"version_{version}").mkdir()
        except FileExistsError:
            version += 1
        else:
            return version


def find_configs(words: list[str]) -> tuple[list[str], str | None]:
    """Let a bare ``--config grpo.yaml`` mean ``configs/grpo.yaml``.

    Returns the words of the command line, and the stem of the first config. Raises ValueError, with the configs
    that there are, on a name that is none of them.
    """
    found, names = [], []
    for i, word in enumerate(words):
        flag, _, value = word.partition("=")
        if flag in _CONFIG_FLAGS and value:
            found.append(f"{flag}={_locate(value)}")
            names.append(Path(value).stem)
        elif i and words[i - 1] in _CONFIG_FLAGS:
            found.append(_locate(word))
            names.append(Path(word).stem)
        else:
            found.append(word)
    return found, names[0] if names else None


def _locate(name: str) -> str:
    for path in (Path(name), CONFIGS / name):
        if path.is_file():
            return str(path)
    shipped = ", ".join(sorted(str(p.relative_to(CONFIGS)) for p in CONFIGS.rglob("*.yaml")))
    raise ValueError(f"--config: no file {name!r}, neither here nor in configs/, which has {shipped}")


def is_complete(checkpoint: Path) -> bool:
    """Say whether a checkpoint was written to its end: a file, or the folder of a sharded one."""
    if not checkpoint.is_dir():
        # The end of a zip file is its table of contents.
        return checkpoint.suffix == ".ckpt" and zipfile.is_zipfile(checkpoint)
    return (checkpoint / ".metadata").exists() and zipfile.is_zipfile(checkpoint / "meta.pt")


def newest_checkpoint(kind: Path, version: int | None = None) -> Path | None:
    """Return the complete checkpoint of ``kind/version_*/checkpoints`` that was written last, or of one version."""
    folder = f"version_{'*' if version is None else version}"
    found = [p for p in kind.glob(f"{folder}/checkpoints/*") if not p.name.startswith(".")]
    by_age = sorted(found, key=lambda p: p.stat().st_mtime_ns, reverse=True)
    return next(filter(is_complete, by_age), None)


def place_run(config: Any, name: str | None, goes_on: bool) -> None:
    """Settle where a run writes and what it starts from. In place.

    Args:
        config: The subcommand's config, with ``run`` and ``ckpt_path``; ``ckpt_path: last`` becomes the newest
            complete checkpoint of this kind of run (of one version, where that is given), or null if there is none.
        name: The run's name where the config has none.
        goes_on: Whether the run goes on in the folder of its checkpoint, rather than in one of its own.

    Raises ValueError where ``run.version`` is another run's.
    """
    run = config.run
    run.name = run.name or name or "run"
    kind = Path(run.dir, run.name)
    if config.get("ckpt_path") == "last":
        newest = newest_checkpoint(kind, run.version)
        config.ckpt_path = None if newest is None else str(newest)
        found = "no complete checkpoint yet, starting anew" if newest is None else f"taking {newest}"
        rank_zero_info(f"--ckpt_path last: {found} (looked in {kind})")
        if newest is not None and goes_on:
            run.version = int(newest.parent.parent.name.removeprefix("version_"))
            return
    if run.version is not None:
        _expect_free(kind / f"version_{run.version}")


@rank_zero_only
def _expect_free(folder: Path) -> None:
    if folder.exists():
        raise ValueError(
            f"--run.version: wanted a free number, got that of {folder}; leave it out, or go on in it "
            "with --ckpt_path last"
        )
