import torch
from hypothesis import given
from hypothesis import strategies as st

from hpedit.noise import case_key, earlier_occurrences, keyed_generator, keyed_noise


def test_equal_keys_draw_equal_noise_and_others_do_not():
    a = keyed_noise((4, 3), "start", 0, 7, "case-1", 2)
    assert torch.equal(a, keyed_noise((4, 3), "start", 0, 7, "case-1", 2))
    for other in [("start", 1, 7, "case-1", 2), ("start", 0, 8, "case-1", 2), ("start", 0, 7, "case-12", 2)]:
        assert not torch.equal(a, keyed_noise((4, 3), *other))


def test_parts_of_a_key_do_not_run_together():
    assert keyed_generator("a", 12).initial_seed() != keyed_generator("a1", 2).initial_seed()
    assert keyed_generator("1").initial_seed() != keyed_generator(1).initial_seed()


def test_drawing_leaves_the_global_generator_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    keyed_noise((8,), "x")
    assert torch.equal(before, torch.get_rng_state())


def test_noise_over_many_keys_is_standard_normal():
    draws = torch.stack([keyed_noise((64,), "case", i) for i in range(400)])
    assert abs(draws.mean()) < 0.02
    assert abs(draws.std() - 1) < 0.02


def test_a_case_s_first_occurrence_is_keyed_by_its_id_alone_and_every_later_one_by_itself():
    assert case_key("a", 0) == ("a",)
    assert len({case_key(case, earlier) for case in ("a", "again") for earlier in range(3)}) == 6


@given(st.lists(st.integers(0, 3)))
def test_occurrences_are_counted_from_the_front(keys: list[int]):
    assert earlier_occurrences(keys) == [keys[:i].count(key) for i, key in enumerate(keys)]
