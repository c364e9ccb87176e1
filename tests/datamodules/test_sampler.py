"""The order of the cases: complete, the same however it is dealt out, and reachable at any point."""

from collections import Counter
from itertools import chain, islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules.sampler import BucketBatchSampler, eval_batches

buckets_of = st.lists(st.sampled_from("abcd"), min_size=1, max_size=40)
sizes = st.integers(1, 5)
worlds = st.integers(1, 4)
seeds = st.integers(0, 5)
quick = settings(max_examples=60, deadline=None)


def taken(sampler, start, count):
    sampler.seek(start)
    return list(islice(iter(sampler), count))


def one_rank(buckets, size, seed, count, **settings):
    """The whole world's sequence, as a single rank sees it."""
    return taken(BucketBatchSampler(buckets, size, seed, **settings), 0, count)


@quick
@given(buckets_of, sizes, seeds, st.booleans(), st.booleans())
def test_a_batch_is_full_and_of_one_bucket(buckets, size, seed, endless, shuffle):
    for batch in one_rank(buckets, size, seed, 30, endless=endless, shuffle=shuffle):
        assert len(batch) == size
        assert len({buckets[i] for i in batch}) == 1


@quick
@given(buckets_of, sizes, worlds, seeds)
def test_ranks_deal_out_one_sequence_between_them(buckets, size, world, seed):
    ranks = [BucketBatchSampler(buckets, size, seed, endless=True, rank=r, world=world) for r in range(world)]
    dealt = [batch for step in zip(*(taken(r, 0, 6) for r in ranks), strict=True) for batch in step]
    assert dealt == one_rank(buckets, size, seed, 6 * world, endless=True)


@quick
@given(buckets_of, sizes, worlds, seeds, st.integers(0, 25), st.booleans())
def test_seeking_is_skipping(buckets, size, world, seed, start, weighted):
    weights = [1 + i % 3 / 2 for i in range(len(buckets))] if weighted else None
    sampler = BucketBatchSampler(
        buckets, size, seed, endless=True, weights=weights, rank=world - 1, world=world
    )
    assert taken(sampler, start, 5) == taken(sampler, 0, start + 5)[start:]


@quick
@given(buckets_of, sizes, worlds, seeds, st.booleans(), st.data())
def test_seeking_inside_a_pass_goes_on_with_its_rest(buckets, size, world, seed, weighted, data):
    weights = [1 + i % 3 / 2 for i in range(len(buckets))] if weighted else None
    sampler = BucketBatchSampler(buckets, size, seed, weights=weights, world=world)
    length = sampler.batches_per_epoch
    done = data.draw(st.integers(0, length - 1))
    for epoch in range(3):
        sampler.seek(epoch * length)
        whole = list(sampler)
        sampler.seek(epoch * length + done)
        assert list(sampler) == whole[done:]
        assert len(whole) == length


@quick
@given(buckets_of, sizes, worlds, seeds, st.integers(0, 3))
def test_every_case_appears_in_every_pass_and_ranks_are_in_step(buckets, size, world, seed, epoch):
    ranks = [BucketBatchSampler(buckets, size, seed, rank=r, world=world) for r in range(world)]
    for rank in ranks:
        rank.seek(epoch * rank.batches_per_epoch)
    passes = [list(rank) for rank in ranks]
    assert {i for batches in passes for batch in batches for i in batch} == set(range(len(buckets)))
    assert len({len(batches) for batches in passes}) == 1
    full = sum(-(-n // size) for n in Counter(buckets).values())
    assert sum(map(len, passes)) - full < world


@quick
@given(st.integers(1, 12), st.integers(1, 12), sizes, seeds)
def test_no_case_of_an_endless_sequence_starves(first, second, size, seed):
    """Two cases of a bucket are at most two draws apart: the passes that overlap in a batch."""
    buckets = ["a"] * first + ["b"] * second
    drawn = Counter(i for batch in one_rank(buckets, size, seed, 60, endless=True) for i in batch)
    for bucket in "ab":
        counts = [drawn[i] for i in range(len(buckets)) if buckets[i] == bucket]
        assert max(counts) - min(counts) <= 2
    # And the buckets are visited in proportion to their cases, within one pass and one batch.
    share = [sum(drawn[i] for i in range(len(buckets)) if buckets[i] == b) / buckets.count(b) for b in "ab"]
    assert abs(share[0] - share[1]) <= 1 + size / first + size / second


@quick
@given(buckets_of, sizes, seeds)
def test_ranks_hold_different_cases_in_a_pass_that_divides(buckets, size, seed):
    """Where nothing had to be filled up, no case is on two ranks or twice on one."""
    buckets = [b for b in buckets for _ in range(2 * size)]
    ranks = [BucketBatchSampler(buckets, size, seed, rank=r, world=2) for r in range(2)]
    seen = [i for rank in ranks for batch in rank for i in batch]
    assert sorted(seen) == list(range(len(buckets)))


@quick
@given(st.lists(st.sampled_from([0.25, 0.5, 1.0, 1.75, 3.0]), min_size=2, max_size=20), sizes, seeds)
def test_a_weight_is_how_often_a_case_is_drawn(weights, size, seed):
    sampler = BucketBatchSampler(["a"] * len(weights), size, seed, endless=True, weights=weights)
    passes = 40
    batches = int(passes * sum(weights) / size)
    drawn = Counter(i for batch in taken(sampler, 0, batches) for i in batch)
    for case, weight in enumerate(weights):
        assert abs(drawn[case] - passes * weight) <= weight + 3


def test_a_weight_of_zero_is_never_drawn():
    drawn = one_rank("aabb", 2, 0, 50, endless=True, weights=[1, 0, 1, 1])
    assert {i for batch in drawn for i in batch} == {0, 2, 3}


def test_the_seed_and_the_pass_change_the_order_and_nothing_else():
    buckets = ["a"] * 30
    sampler = BucketBatchSampler(buckets, 5, 0)
    first, again = list(sampler), list(sampler)
    sampler.seek(6)
    second = list(sampler)
    other = list(BucketBatchSampler(buckets, 5, 1))
    assert first == again
    assert first != second
    assert first != other
    assert sorted(chain(*first)) == sorted(chain(*second)) == list(range(30))


def test_without_shuffling_cases_keep_their_order():
    assert list(BucketBatchSampler("ababa", 2, shuffle=False)) == [[0, 2], [4, 0], [1, 3]]


def test_the_billionth_batch_is_as_near_as_the_first():
    sampler = BucketBatchSampler(["a"] * 1000 + ["b"] * 7, 8, endless=True)
    assert len(taken(sampler, 10**9, 2)) == 2


@pytest.mark.parametrize(
    "bad",
    [
        {"buckets": []},
        {"batch_size": 0},
        {"rank": 2, "world": 2},
        {"weights": [1.0]},
        {"weights": [1.0, -1.0]},
        {"weights": [0.0, 0.0]},
    ],
)
def test_a_sampler_of_nothing_is_refused(bad):
    with pytest.raises(ValueError, match=r"^sampler: expected"):
        BucketBatchSampler(**({"buckets": ["a", "b"], "batch_size": 1} | bad))


# ---- evaluation


@quick
@given(buckets_of, st.integers(2, 5), worlds)
def test_an_evaluation_sees_every_case_once_in_equally_many_batches(buckets, size, world):
    fewest = sum(-(-n // size) for n in Counter(buckets).values())
    if not any(n % world == 0 for n in range(fewest, len(buckets) + 1)):
        with pytest.raises(ValueError, match="val_batch_size"):
            eval_batches(buckets, size, world)
        return
    batches = eval_batches(buckets, size, world)
    assert sorted(i for b in batches for i in b) == list(range(len(buckets)))
    assert all(1 <= len(b) <= size and len({buckets[i] for i in b}) == 1 for b in batches)
    assert len(batches) % world == 0


def test_an_evaluation_that_cannot_be_dealt_out_says_what_to_change():
    with pytest.raises(ValueError, match=r"--data\.val_batch_size 1: 5 cases cannot be dealt out to 2 ranks"):
        eval_batches("aaaaa", 1, 2)
    assert eval_batches("aaaaa", 2, 2) == [[0], [1], [2, 3], [4]]
