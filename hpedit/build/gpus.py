"""A GPU for each worker of this machine. Ray pins its workers itself; Daft's native runner does not."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from filelock import FileLock, Timeout

# Held until the process ends, however it ends: the system drops the locks of a killed process.
_claims: list[FileLock] = []


def claim_gpu(share: float, folder: Path | None = None) -> str:
    """Let this process see one GPU only, of which it takes ``share`` in (0, 1], and return its name.

    To be called before CUDA is used. ``folder`` holds the locks, by default the system's for temporary files.
    Raises ValueError where all are taken.
    """
    places = folder or Path(tempfile.gettempdir(), f"hpedit-gpus-{os.getuid()}")
    places.mkdir(parents=True, exist_ok=True)
    for place in range(int(1.0 / share)):
        for name in _visible():
            lock = FileLock(places / f"{name.replace('/', '_')}-{place}.lock", timeout=0)
            try:
                lock.acquire()
            except Timeout:
                continue
            _claims.append(lock)
            os.environ["CUDA_VISIBLE_DEVICES"] = name
            return name
    raise ValueError(
        f"workers.gpus: wanted {share} of a GPU for each worker, but all of {', '.join(_visible()) or 'none'} are "
        "taken; lower workers.count or workers.gpus"
    )


def _visible() -> list[str]:
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        import torch  # seconds, in every worker

        return [str(i) for i in range(torch.cuda.device_count())]
    return [name.strip() for name in given.split(",") if name.strip()]
