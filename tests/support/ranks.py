"""Two processes of one run, on this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from tests.support.ports import free_port

Work = Callable[[int, Path], None]


def on_two_ranks(work: Work, folder: Path) -> None:
    """Run ``work(rank, folder)``, which fits with two devices, in two processes that find each other; wait for both."""
    start = "fork" if sys.platform == "linux" else "spawn"  # a fork spares two imports of everything
    torch.multiprocessing.start_processes(_rank, (free_port(), work, folder), nprocs=2, start_method=start)


def _rank(rank: int, port: int, work: Work, folder: Path) -> None:
    os.environ |= {"LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    work(rank, folder)
