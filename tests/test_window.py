import pytest

from hpedit.window import SDEWindow


def test_random_windows_differ_by_round_and_cover_the_range():
    window = SDEWindow(size=3, start=0, stop=6)
    seen = [window.steps(10, round, seed=0) for round in range(60)]
    assert {w.start for w in seen} == {0, 1, 2, 3}
    assert all(len(w) == 3 and w.stop <= 6 for w in seen)


def test_a_window_depends_on_round_and_seed_only():
    window = SDEWindow(size=2)
    assert [window.steps(8, r, 1) for r in range(20)] == [window.steps(8, r, 1) for r in range(20)]
    assert [window.steps(8, r, 1) for r in range(20)] != [window.steps(8, r, 2) for r in range(20)]


def test_a_sliding_window_moves_on_and_wraps_round():
    window = SDEWindow(size=2, start=1, stop=5, mode="sliding", slide_every=2)
    assert [window.steps(6, r, 0).start for r in range(8)] == [1, 1, 2, 2, 3, 3, 1, 1]


def test_without_a_size_every_step_but_the_last_is_stochastic():
    assert SDEWindow().steps(6, 3, 0) == range(0, 5)


@pytest.mark.parametrize(
    ("window", "flag"),
    [
        (SDEWindow(stop=6), r"rollout\.window"),
        (SDEWindow(start=5), r"rollout\.window"),
        (SDEWindow(size=6), r"rollout\.window\.size"),
        (SDEWindow(size=0), r"rollout\.window\.size"),
    ],
)
def test_a_window_that_does_not_fit_is_refused_by_name(window: SDEWindow, flag: str):
    with pytest.raises(ValueError, match=flag):
        window.steps(6, 0, 0)
