import logging
from collections.abc import Callable

import pytest
import torch
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from hpedit.losses import flow_matching_loss
from hpedit.tasks import canonical_task
from hpedit.terminal import is_message, silence


def misconfigured() -> None:
    raise MisconfigurationException("no such accelerator")


def mismatched() -> None:
    """A fault that torch finds inside a line of this project."""
    flow_matching_loss(torch.zeros(2, 3, 4), torch.zeros(2, 5, 4), torch.zeros(2, 5, 4))


@pytest.mark.parametrize(
    ("fails", "expected"),
    [
        (lambda: canonical_task("juggling"), True),
        (misconfigured, True),
        (mismatched, False),
        (lambda: int("x"), False),
        (lambda: {}["x"], False),
    ],
    ids=["raised by hpedit", "by Lightning's checks", "by torch in hpedit", "by Python", "a missing key"],
)
def test_only_what_was_written_for_the_user_is_shown_without_a_traceback(
    fails: Callable[[], object], expected: bool
):
    with pytest.raises(Exception) as caught:  # noqa: PT011
        fails()
    assert isinstance(caught.value, Exception)
    assert is_message(caught.value) is expected


def test_advice_is_hidden_and_information_is_not(caplog: pytest.LogCaptureFixture):
    silence()
    source = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    with caplog.at_level(logging.INFO, logger=source.name):
        source.info("try installing [litlogger]")
        source.info("12 of 12 records are used")
    assert caplog.messages == ["12 of 12 records are used"]
