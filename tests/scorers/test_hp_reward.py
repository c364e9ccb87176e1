"""The paper's reward curve."""

import torch

from hpedit.scorers.reward import hp_reward


def test_the_whole_scale_with_the_papers_alpha_and_beta() -> None:
    scores = torch.arange(6, dtype=torch.float64)
    by_hand = torch.tensor([0.0067, 0.0474, 0.2689, 0.7311, 0.9526, 0.9933], dtype=torch.float64)
    torch.testing.assert_close(hp_reward(scores), by_hand, atol=5e-5, rtol=0)


def test_alpha_and_beta_place_and_steepen_the_middle() -> None:
    assert hp_reward(torch.tensor(3.0), alpha=4.0, beta=12.0) == 0.5
    steps = torch.linspace(0, 5, 50)
    assert (hp_reward(steps).diff() > 0).all()


def test_a_missing_score_stays_missing() -> None:
    reward = hp_reward(torch.tensor([1.0, float("nan"), 4.0]))
    assert reward.isnan().tolist() == [False, True, False]
