"""The vLLM command that serves a judge: which options, and why each. Pure.

One request reads two pictures and a rubric and answers with one token, so serving is prefill: copies of the model beat
a split one wherever it fits, prefixes are worth keeping, and pictures are what the processor waits for.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass

# Of the memory vLLM may use, what weights leave to the KV cache, activations and the vision encoder.
_LEFT_FREE = 0.25
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Option:
    """Words of the command, and what they are for."""

    why: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Split:
    """How a model lies on the GPUs: ``replicas`` copies, each over ``gpus_each``; ``gb_each`` of weights a GPU."""

    replicas: int
    gpus_each: int
    gb_each: float


def billions_of(model: str) -> float:
    """Return the billions of parameters that a model's name tells, "Qwen3-VL-32B" 32 and "30B-A3B" 30.

    Raises ValueError where it tells none.
    """
    found = re.search(r"(?<![A-Za-z\d.])(\d+(?:\.\d+)?)b(?![a-z])", model.rsplit("/", 1)[-1], re.I)
    if not found:
        raise ValueError(
            f"--billions: wanted the parameters of {model!r} in billions, which its name does not tell"
        )
    return float(found[1])


def bytes_of(model: str) -> float:
    """Return the bytes of one weight that a model's name tells; 2, as in bfloat16, where it tells nothing."""
    name = model.lower()
    if "fp8" in name or "int8" in name:
        return 1.0
    # Four bits, and scales and layers that stay whole.
    return 0.6 if any(word in name for word in ("awq", "gptq", "int4", "w4a16", "fp4")) else 2.0


def split(weights_gb: float, gpus: int, gpu_gb: float, memory_share: float) -> Split:
    """Return the most copies that fit: the least power of two of GPUs that holds the weights and leaves room.

    Args:
        weights_gb: of one copy.
        gpus: in this machine.
        gpu_gb: memory of one of them.
        memory_share: what vLLM may use of it, in (0, 1].

    Raises ValueError where the model does not fit.
    """
    room = gpu_gb * memory_share * (1 - _LEFT_FREE)
    sizes = [2**k for k in range(gpus.bit_length()) if gpus % 2**k == 0]
    for size in sizes:
        if weights_gb / size <= room:
            return Split(gpus // size, size, weights_gb / size)
    raise ValueError(
        f"--gpus {gpus}: {weights_gb:.0f} GB of weights want {2 ** math.ceil(math.log2(weights_gb / room))} GPUs of "
        f"{gpu_gb:g} GB ({room:.0f} GB of each for weights); a model with fewer bytes a weight (FP8) wants fewer"
    )


def options(
    model: str,
    layout: Split,
    host: str,
    port: int,
    context: int,
    images: int,
    max_pixels: int,
    memory_share: float,
    batched_tokens: int,
    cache_gb: float,
    api_servers: int,
    media_folder: str | None,
) -> list[Option]:
    """Return the options of ``vllm serve MODEL``, in the order in which they are best read. See serve_scorer."""
    side = math.isqrt(max_pixels)
    pictures = {"image": {"count": images, "width": side, "height": side}, "video": 0}
    copies, each = layout.replicas, layout.gpus_each
    chosen = [
        Option(f"who may ask: {_audience(host)}", ("--host", host, "--port", str(port))),
        Option(
            f"{copies} whole {'copy' if copies == 1 else 'copies'}, which talk to nobody while they work",
            ("--data-parallel-size", str(copies)),
        ),
        Option(
            f"each over {each} GPU{'s' * (each > 1)}: {layout.gb_each:.0f} GB of weights a GPU",
            ("--tensor-parallel-size", str(each)),
        ),
        Option("of each GPU's memory, what vLLM takes", ("--gpu-memory-utilization", f"{memory_share:g}")),
        Option("longest request, in tokens: rubric, pictures, answer", ("--max-model-len", str(context))),
        Option(
            f"at most {images} pictures of {side} x {side} and no video, so that no memory is kept for more",
            ("--limit-mm-per-prompt", json.dumps(pictures)),
        ),
        *_picture_size(model, max_pixels),
        Option(
            f"host memory for prepared pictures, times {api_servers + copies} processes; siblings share a source",
            ("--mm-processor-cache-gb", f"{cache_gb:g}"),
        ),
        Option(
            "processes that decode pictures, often the bottleneck", ("--api-server-count", str(api_servers))
        ),
        Option(
            "rubric, instruction and source are read once for all edits of a case",
            ("--enable-prefix-caching",),
        ),
        Option("tokens in one step; prompts are long and answers one token", _batched(batched_tokens)),
        Option("what a scorer without logprob_token_ids would ask for", ("--max-logprobs", "20")),
    ]
    if each > 1:
        why = "the small vision encoder is copied and given its own pictures, rather than split"
        chosen.append(Option(why, ("--mm-encoder-tp-mode", "data")))
    if media_folder is not None:
        why = "whoever can ask can have every file below this folder read"
        chosen.append(Option(why, ("--allowed-local-media-path", media_folder)))
    return chosen


def _batched(tokens: int) -> tuple[str, ...]:
    return ("--max-num-batched-tokens", str(tokens))


def _audience(host: str) -> str:
    if host in _LOOPBACK:
        return "this machine only"
    return "whoever reaches this machine; set VLLM_API_KEY here and backend.api_key_env there"


def _picture_size(model: str, max_pixels: int) -> list[Option]:
    """Return how Qwen-VL is told a picture's size; other families have other words for it."""
    name = model.lower()
    if "qwen" not in name:
        return []
    least = 56 * 56 if "qwen2" in name else 256 * 256
    size = {"size": {"shortest_edge": min(least, max_pixels), "longest_edge": max_pixels}}
    why = f"larger pictures are made smaller, to {max_pixels} pixels (the names are Qwen's: both are areas)"
    return [Option(why, ("--mm-processor-kwargs", json.dumps(size)))]
