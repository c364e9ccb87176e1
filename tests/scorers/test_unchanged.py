"""An edit that is its source is spotted; a visible edit is not."""

import torch

from hpedit.scorers.unchanged import is_unchanged


def photo(height: int = 32, width: int = 48) -> torch.Tensor:
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    return (torch.stack([x, y, (x + y) / 2]) * 200).to(torch.uint8)


def test_the_source_and_its_rounded_copy_are_unchanged() -> None:
    assert is_unchanged(photo(), photo())
    assert is_unchanged(photo(), photo() + 1)


def test_a_changed_quarter_is_a_change() -> None:
    edit = photo()
    edit[:, :16, :24] = 250
    assert not is_unchanged(photo(), edit)


def test_the_source_may_have_another_size() -> None:
    assert is_unchanged(photo(64, 96), photo(32, 48), tolerance=3.0)
    assert not is_unchanged(photo(64, 96), 255 - photo(32, 48), tolerance=3.0)


def test_the_tolerance_is_in_levels() -> None:
    assert not is_unchanged(photo(), photo() + 3, tolerance=2.9)
    assert is_unchanged(photo(), photo() + 3, tolerance=3.0)
