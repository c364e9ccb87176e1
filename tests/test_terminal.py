import logging
from collections.abc import Callable

import pytest
import torch
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from hpedit.__main__ import main as command
from hpedit.losses import flow_matching_loss
from hpedit.tasks import canonical_task
from hpedit.terminal import is_message, message_of, silence


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


def test_a_mistake_in_one_of_several_kinds_of_scorer_is_told_in_its_own_words():
    scorer = ["--reward.scorers", "hpedit.scorers.hp_scorer.HPScorer", "--reward.scorers.min_mass", "2"]
    backend = ["--reward.scorers.backend", "tests.calibration.stand_in.FaultBackend"]
    with pytest.raises(ValueError, match="Union") as caught:
        command(["score", "cases.parquet", *scorer, *backend])
    assert str(message_of(caught.value)) == "min_mass: expected a probability in [0, 1], got 2.0"


def test_advice_is_hidden_and_information_is_not(caplog: pytest.LogCaptureFixture):
    silence()
    source = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    with caplog.at_level(logging.INFO, logger=source.name):
        source.info("try installing [litlogger]")
        source.info("12 of 12 records are used")
    assert caplog.messages == ["12 of 12 records are used"]
