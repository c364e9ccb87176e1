import math

import pytest
import torch
from torch import Tensor, nn

from hpedit.modules.guard import UpdateGuard, gradient_norm


def weights(*grads: float | None) -> list[nn.Parameter]:
    """One weight of value 1 for each gradient."""
    parameters = [nn.Parameter(torch.ones(1)) for _ in grads]
    for p, grad in zip(parameters, grads, strict=True):
        p.grad = None if grad is None else torch.tensor([grad])
    return parameters


def values(parameters: list[nn.Parameter]) -> Tensor:
    return torch.cat([p.detach() for p in parameters])


def test_the_norm_is_over_all_gradients():
    assert gradient_norm(weights(3.0, 4.0, None)) == pytest.approx(5.0)
    assert gradient_norm(weights(None)) == 0


def test_a_good_gradient_is_left_alone():
    parameters = weights(3.0, 4.0)
    assert UpdateGuard(1).check(parameters) == pytest.approx(5.0)
    assert [float(p.grad) for p in parameters if p.grad is not None] == [3.0, 4.0]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_one_bad_gradient_skips_the_update_of_every_weight(bad: float):
    parameters = weights(1.0, 1.0)
    optimizer = torch.optim.AdamW(parameters, lr=0.1)
    optimizer.step()
    before = values(parameters)
    assert parameters[1].grad is not None
    parameters[1].grad.fill_(bad)
    guard = UpdateGuard(2)
    guard.check(parameters)
    optimizer.step()
    assert torch.equal(values(parameters), before), "momentum and weight decay must not move them either"
    assert guard.skipped == 1


def test_a_zero_gradient_moves_nothing_and_is_no_fault():
    parameters = weights(1.0)
    optimizer = torch.optim.AdamW(parameters, lr=0.1)
    optimizer.step()
    before = values(parameters)
    parameters[0].grad = torch.zeros(1)
    guard = UpdateGuard(1)
    assert guard.check(parameters) == 0
    optimizer.step()
    assert torch.equal(values(parameters), before)
    assert guard.skipped == 0


def test_the_run_stops_after_so_many_bad_updates_in_a_row():
    guard = UpdateGuard(2)
    guard.check(weights(math.nan))
    guard.check(weights(1.0))
    guard.check(weights(math.nan))
    with pytest.raises(RuntimeError, match="2 updates in a row"):
        guard.check(weights(math.nan))
    assert guard.skipped == 3


def test_at_least_one_must_be_allowed():
    with pytest.raises(ValueError, match="max_skipped_updates: wanted at least 1, got 0"):
        UpdateGuard(0)
