"""Where chunks are made: Daft hands their numbers to workers, in this process, in others, or on a Ray cluster.

A stage is one Daft plan over the numbers of its missing chunks; a worker makes a chunk, commits it, and asks for the
next. So a model is loaded once a worker, no data pass through the driver, and Daft's running ahead costs nothing:
what it has run ahead with is committed.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from hpedit.build.chunks import ChunkStats
from hpedit.build.gpus import claim_gpu
from hpedit.build.jobs import Job
from hpedit.build.stage import Workers


@dataclass(frozen=True)
class Engine:
    """Where the work is done, and when it is given up.

    Attributes:
        runner: "native" works on this machine; "ray" on a cluster whose machines all see the work folder.
        ray_address: of the cluster, "ray://host:10001"; null takes the one of this machine, or starts one.
        max_failed: share of a chunk's records, in [0, 1], that may be quarantined; more stop the build, because
            then it is not the records that are broken.
    """

    runner: Literal["native", "ray"] = "native"
    ray_address: str | None = None
    max_failed: float = 0.5

    def __post_init__(self) -> None:
        if not 0.0 <= self.max_failed <= 1.0:
            raise ValueError(f"engine.max_failed: expected a share in [0, 1], got {self.max_failed}")

    def run(self, job: Job, numbers: Sequence[int], workers: Workers) -> Iterator[ChunkStats]:
        """Make the chunks ``numbers``, yielding the counts of each as soon as it is committed.

        Raises ConnectionError or ValueError where a worker did; chunks committed until then stay.
        """
        if not numbers:
            return
        daft = self._start()
        maker = self._maker(job, workers)
        plan = daft.from_pydict({"chunk": list(numbers)}).select(maker.make(daft.col("chunk")).alias("reply"))
        for row in plan.iter_rows(results_buffer_size=1):
            yield _read_reply(row["reply"])

    def _start(self) -> Any:
        # Daft draws bars of its own, of plans that say nothing to the user, and reports its use to its makers.
        os.environ.setdefault("DAFT_PROGRESS_BAR", "0")
        os.environ.setdefault("DAFT_ANALYTICS_ENABLED", "0")
        import daft  # a second that --help should not cost

        if self.runner == "ray":
            daft.set_runner_ray(self.ray_address, noop_if_initialized=True)
        elif daft.get_or_infer_runner_type() != "native":
            daft.set_runner_native()  # refuses to be told twice
        return daft

    def _maker(self, job: Job, workers: Workers) -> Any:
        import daft

        native = self.runner == "native"
        alone = native and workers.count == 1
        method = daft.method.batch(return_dtype=daft.DataType.string(), batch_size=1)

        class ChunkMaker:
            """What Daft constructs once in each worker."""

            def __init__(self) -> None:
                if native and not alone:
                    end_with_parent()
                    if workers.gpus:
                        claim_gpu(workers.gpus)
                self.worker = _Worker(job)

            @method
            def make(self, chunks: daft.Series) -> list[str]:
                return [self.worker.make(number) for number in chunks.to_pylist()]

        return daft.cls(
            ChunkMaker,
            gpus=0 if native else workers.gpus,
            use_process=not alone,
            max_concurrency=None if alone else workers.count,
        )()


class _Worker:
    """One process that makes chunks, one at a time, until one cannot be made."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.error: str | None = None
        # Daft calls from several threads where it works in the build's own process.
        self.lock = threading.Lock()

    def make(self, number: int) -> str:
        with self.lock:
            # Daft hands out further chunks before it hears that one failed; they shall cost nothing.
            return self.error or self._make(number)

    def _make(self, number: int) -> str:
        try:
            return json.dumps(asdict(self.job.make(number)))
        except (ConnectionError, ValueError) as error:
            self.error = json.dumps({"error": str(error), "kind": type(error).__name__})
            return self.error


def end_with_parent(seconds: float = 0.2) -> None:
    """End this process soon after its parent has: the worker of a killed build must not commit into the next one."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(seconds)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _read_reply(reply: str) -> ChunkStats:
    fields = json.loads(reply)
    if "error" in fields:
        kind = ValueError if fields["kind"] == "ValueError" else ConnectionError
        raise kind(fields["error"])
    return ChunkStats(**fields)
