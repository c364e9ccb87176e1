"""A checkpoint's name changes when the checkpoint does."""

import os
from pathlib import Path

from hpedit.scorers.identity import checkpoint_identity


def test_a_folder_written_anew_has_another_name(tmp_path: Path) -> None:
    weights = tmp_path / "deep" / "model.safetensors"
    weights.parent.mkdir()
    weights.write_bytes(b"abc")
    first = checkpoint_identity(str(tmp_path), None)
    assert checkpoint_identity(str(tmp_path), None) == first
    os.utime(weights, ns=(1, 1))
    assert checkpoint_identity(str(tmp_path), None) != first
    os.utime(weights, ns=(2, 2))
    second = checkpoint_identity(str(tmp_path), None)
    weights.write_bytes(b"abcd")
    os.utime(weights, ns=(2, 2))
    assert checkpoint_identity(str(tmp_path), None) != second


def test_a_hub_id_is_named_with_its_revision() -> None:
    assert checkpoint_identity("org/no-such-model", "a") != checkpoint_identity("org/no-such-model", "b")
