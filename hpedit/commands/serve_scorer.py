"""``python -m hpedit serve-scorer``: the vLLM command that serves a judge."""

from __future__ import annotations

import os
import shlex
import shutil

from hpedit.scoring.vllm_command import Option, billions_of, bytes_of, options, split

_IN_FLIGHT = 128  # requests a copy, of which vLLM makes its batches


def serve_scorer(
    model: str,
    gpus: int = 1,
    gpu_gb: float = 80.0,
    billions: float | None = None,
    weight_bytes: float | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    context: int = 8192,
    images: int = 2,
    max_pixels: int = 1_048_576,
    memory_share: float = 0.9,
    batched_tokens: int = 16384,
    cache_gb: float = 4.0,
    api_servers: int | None = None,
    media_folder: str | None = None,
    reproducible: bool = False,
    run: bool = False,
) -> None:
    """Print the vLLM command that serves a judge, why each option is there, and the flags that use it; or run it.

      python -m hpedit serve-scorer Qwen/Qwen3-VL-32B-Instruct --gpus 8
      python -m hpedit serve-scorer Qwen/Qwen3-VL-235B-A22B-Instruct-FP8 \\
        --gpus 8 --gpu_gb 141 --run true

    What is printed is a shell script: comments, the command, comments. vLLM is told to be on this machine alone.

    Args:
        model: on the hub, or a folder.
        gpus: GPUs of this machine that serve.
        gpu_gb: memory of one of them, in GB.
        billions: parameters of the model, in billions; read off its name where that tells them.
        weight_bytes: bytes of one weight; 2, or what FP8, AWQ and the like in the name say.
        host: address to listen on.
        port: port to listen on.
        context: longest request, in tokens. A picture of max_pixels takes max_pixels / 1024 of them (Qwen3-VL).
        images: pictures in one request: sources, references and the edit.
        max_pixels: larger pictures are made smaller.
        memory_share: what vLLM may take of a GPU's memory, in (0, 1]; less than 0.9 where something else runs there.
        batched_tokens: most tokens in one step.
        cache_gb: host memory for prepared pictures, in each process.
        api_servers: processes that take requests and decode pictures; one a copy of the model by default.
        media_folder: folder whose files requests may name instead of sending them; off by default.
        reproducible: equal scores whatever else is in the batch, at some cost in speed; the GPU must support it.
        run: run the command instead of printing it.
    """
    _expect(gpus >= 1, "gpus", "at least 1", gpus)
    _expect(gpu_gb > 0, "gpu_gb", "more than 0", gpu_gb)
    _expect(0 < memory_share <= 1, "memory_share", "a share in (0, 1]", memory_share)
    _expect(images >= 2, "images", "at least 2, source and edit", images)
    _expect(max_pixels >= 1, "max_pixels", "at least 1", max_pixels)
    _expect(api_servers is None or api_servers >= 1, "api_servers", "at least 1", api_servers)
    weights_gb = (billions or billions_of(model)) * (weight_bytes or bytes_of(model))
    layout = split(weights_gb, gpus, gpu_gb, memory_share)
    chosen = options(
        model=model,
        layout=layout,
        host=host,
        port=port,
        context=context,
        images=images,
        max_pixels=max_pixels,
        memory_share=memory_share,
        batched_tokens=batched_tokens,
        cache_gb=cache_gb,
        api_servers=api_servers or layout.replicas,
        media_folder=media_folder,
    )
    environment = {"VLLM_BATCH_INVARIANT": "1"} if reproducible else {}
    if run:
        _run(model, chosen, environment)
    print(_script(model, chosen, environment))
    print(_usage(model, _address(host, port), layout.replicas))


COMMAND = serve_scorer


def _expect(holds: bool, flag: str, wanted: str, got: object) -> None:
    if not holds:
        raise ValueError(f"--{flag}: expected {wanted}, got {got}")


def _run(model: str, chosen: list[Option], environment: dict[str, str]) -> None:
    """Become vLLM."""
    if shutil.which("vllm") is None:
        raise ValueError("--run: wanted the command vllm, found none; pip install 'hpedit[vllm]' brings it")
    words = ["vllm", "serve", model, *(word for option in chosen for word in option.words)]
    os.execvpe("vllm", words, {**os.environ, **environment})


def _script(model: str, chosen: list[Option], environment: dict[str, str]) -> str:
    why = [f"# {' '.join(option.words[:1])}: {option.why}" for option in chosen]
    if environment:
        why.append("# VLLM_BATCH_INVARIANT: a score does not depend on what else is in the batch")
    before = [f"{name}={value}" for name, value in environment.items()]
    lines = [" ".join([*before, "vllm serve", shlex.quote(model)]), *(shlex.join(o.words) for o in chosen)]
    return "\n".join(why) + "\n\n" + " \\\n  ".join(lines) + "\n"


def _usage(model: str, address: str, replicas: int) -> str:
    backend = "--reward.scorers.backend"
    flags = [
        "--config scorer/vllm.yaml",
        f"{backend}.base_url {address}/v1",
        f"{backend}.model {shlex.quote(model)}",
        f"{backend}.max_in_flight {_IN_FLIGHT * replicas}",
        f"--reward.max_in_flight {_IN_FLIGHT * replicas // 16}",
    ]
    uses = [f"{command} {' '.join(flags)}" for command in _COMMANDS]
    return "\n".join(["# ready once this answers:", f"#   curl {address}/v1/models", "# then:", *uses])


_COMMANDS = ("#   python train.py fit --config grpo.yaml", "#   python -m hpedit score cases.parquet")


def _address(host: str, port: int) -> str:
    reached = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    return f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"
