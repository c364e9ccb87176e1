import pytest
import torch

from hpedit.editors.tokens import join_references, join_texts


def test_texts_of_one_length_need_no_mask() -> None:
    tokens, mask = join_texts([(torch.ones(1, 3, 2), None), (2 * torch.ones(1, 3, 2), None)], "text")
    assert mask is None
    assert tokens is not None
    assert tokens[:, 0, 0].tolist() == [1, 2]


def test_shorter_texts_are_padded_and_masked() -> None:
    tokens, mask = join_texts([(torch.ones(1, 1, 2), None), (torch.ones(1, 3, 2), None)], "text")
    assert tokens is not None
    assert mask is not None
    assert mask.tolist() == [[True, False, False], [True, True, True]]
    assert tokens[~mask].abs().sum() == 0
    assert tokens[mask].min() == 1


def test_joined_texts_can_be_joined_again() -> None:
    short, long = torch.ones(1, 1, 2), torch.ones(1, 3, 2)
    pair = join_texts([(short, None), (long, None)], "text")
    tokens, mask = join_texts([pair, (torch.ones(1, 4, 2), None)], "text")
    assert tokens is not None
    assert mask is not None
    assert mask.sum(dim=1).tolist() == [1, 3, 4]


def test_no_texts_stay_none_and_some_are_refused() -> None:
    assert join_texts([(None, None), (None, None)], "negative") == (None, None)
    with pytest.raises(ValueError, match=r"negative: wanted it in all .* got 1/2"):
        join_texts([(None, None), (torch.ones(1, 1, 2), None)], "negative")


def test_references_of_two_sizes_are_refused() -> None:
    small, large = (torch.ones(1, 4, 2), ((1, 2, 2),)), (torch.ones(1, 6, 2), ((1, 2, 3),))
    assert join_references([small, small]).shape == (2, 4, 2)
    with pytest.raises(ValueError, match="one size in a batch"):
        join_references([small, large])
