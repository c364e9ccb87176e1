"""The one thing about the build that pyproject.toml cannot say; everything else is there."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

# People edit these, so in a checkout they lie at its top and not among the code.
DATA = ("configs", "prompts")


class BuildWithData(build_py):
    """Puts configs/ and prompts/ inside the package hpedit of a wheel, where the installed code looks for them."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for name in DATA:
                shutil.copytree(name, Path(self.build_lib, "hpedit", name), dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithData})
