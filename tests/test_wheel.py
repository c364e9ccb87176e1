"""What `pip install .` gives: the code, and the data that lie beside it in a checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NEEDED = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE")
FOLDERS = ("hpedit", "callbacks", "datamodules", "configs", "prompts")

BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"
BUILD_SOURCE = "import sys; from setuptools import build_meta; print(build_meta.build_sdist(sys.argv[1]))"
USE = """
import hpedit
from pathlib import Path
from hpedit.editors.shipped import checkpoint_folder
from hpedit.runs import find_configs
from hpedit.scorers.prompts import load_prompts
print(Path(hpedit.__file__).parents[1])
print(len(load_prompts()))
print(*find_configs(["--config", "quickstart.yaml", "--config", "editor/miniature.yaml"])[0][1::2])
print((checkpoint_folder() / "vae/diffusion_pytorch_model.safetensors").is_file())
"""


def python(code: str, *args: str, cwd: Path, path: Path | None = None) -> list[str]:
    environment = os.environ | ({} if path is None else {"PYTHONPATH": str(path)})
    done = subprocess.run(
        [sys.executable, "-c", code, *args], cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def data_files(place: Path) -> set[Path]:
    """Return all in the packages that is not code, such as pages, weights and prompts."""
    found = (path for name in FOLDERS[:3] for path in (place / name).rglob("*") if path.is_file())
    return {path.relative_to(place) for path in found if path.suffix not in (".py", ".pyc")}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source as a source distribution carries it to whoever builds from one."""
    pytest.importorskip("setuptools", minversion="77", reason="the build backend")
    checkout, unpacked = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("sdist")
    for name in NEEDED:
        shutil.copy(ROOT / name, checkout)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    archive = python(BUILD_SOURCE, str(unpacked), cwd=checkout)[-1]
    shutil.unpack_archive(unpacked / archive, unpacked)
    return next(path for path in unpacked.iterdir() if path.is_dir())


@pytest.mark.slow
def test_an_installed_wheel_finds_its_prompts_its_configs_and_the_miniature(source: Path, tmp_path: Path):
    wheel = python(BUILD, str(tmp_path), cwd=source)[-1]
    site = tmp_path / "site"
    with zipfile.ZipFile(tmp_path / wheel) as archive:
        archive.extractall(site)
    place, prompts, configs, miniature = python(USE, cwd=tmp_path, path=site)
    assert place == str(site)
    assert prompts == "9"
    assert configs.split() == [
        str(site / "hpedit/configs" / name) for name in ("quickstart.yaml", "editor/miniature.yaml")
    ]
    assert miniature == "True"
    assert data_files(ROOT) - data_files(site) == set()
    assert {path.name for path in site.iterdir()} == {
        "hpedit",
        "callbacks",
        "datamodules",
        wheel.removesuffix("-py3-none-any.whl") + ".dist-info",
    }
