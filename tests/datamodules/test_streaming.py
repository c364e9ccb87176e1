"""The order of a stream: complete, the same however it is dealt out, and reachable at any point."""

from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from datamodules.blocks import BlockReader, StreamFaults
from datamodules.entries import Entry
from datamodules.screening import Unsuited
from datamodules.streaming import StreamBatchSampler

quick = settings(max_examples=25, deadline=None)
# Shards of records, each a bucket's letter: lower-case ones are good, "!" is faulty and "?" of no use.
shards_of = st.lists(st.text("aabc!?", max_size=12), min_size=1, max_size=5).filter(
    lambda shards: any(letter in "abc" for shard in shards for letter in shard)
)
sizes, worlds, seeds, blocks = st.integers(1, 4), st.integers(1, 3), st.integers(0, 3), st.integers(1, 7)


class Letters:
    """Records whose instruction is their bucket; counts what is read."""

    name, root = "letters", Path()

    def __init__(self, shards, weight=lambda place: 1.0):
        self.shards, self.count, self.weight, self.read = shards, len(shards), weight, Counter()

    def rows(self, shard, start):
        for row, letter in enumerate(self.shards[shard][start:], start):
            self.read[shard, row] += 1
            yield {
                "task": "bokeh",
                "instruction": letter,
                "source": {"bytes": b"x"},
                "weight": self.weight((shard, row)),
            }


def describe(case, row):
    if case.instruction == "!":
        raise ValueError("faulty: it is marked so")
    if case.instruction == "?":
        raise Unsuited("not wanted: it is marked so")
    return Entry(row, row, "bokeh", ((case.instruction,), False), row, case.weight)


def order(shards, size, seed=0, block=4, share=1.0, weight=lambda place: 1.0, **settings):
    records = shards if isinstance(shards, Letters) else Letters(shards, weight)
    reader = BlockReader(records, describe, block, StreamFaults("letters", share))
    return StreamBatchSampler(reader, size, seed, **settings)


def places(batches):
    return [[case.place for case in batch.cases] for batch in batches]


def taken(sampler, start, count):
    sampler.seek(start)
    return places(islice(iter(sampler), count))


def good(shards):
    return [(s, row) for s, shard in enumerate(shards) for row, letter in enumerate(shard) if letter in "abc"]


@quick
@given(shards_of, sizes, seeds, blocks, st.booleans())
def test_a_batch_is_full_and_of_one_bucket_with_a_spare_of_it(shards, size, seed, block, shuffle):
    for batch in islice(order(shards, size, seed, block, shuffle=shuffle), 25):
        assert len(batch.cases) == size
        assert {shards[s][row] for s, row in places([batch])[0]} == {
            shards[batch.spare.place[0]][batch.spare.place[1]]
        }


@quick
@given(shards_of, sizes, seeds, blocks)
def test_passes_neither_lose_nor_repeat_a_record(shards, size, seed, block):
    """After any number of batches two cases of a bucket differ by what one unfinished pass and the carry explain."""
    wanted = good(shards)
    passes = 6
    drawn = Counter(
        place for b in taken(order(shards, size, seed, block), 0, passes * len(wanted) // size) for place in b
    )
    assert set(drawn) <= set(wanted)
    for letter in "abc":
        counts = [drawn[s, row] for s, row in wanted if shards[s][row] == letter]
        assert max(counts, default=0) - min(counts, default=0) <= 2


@quick
@given(st.lists(st.text("ab", min_size=1, max_size=9), min_size=1, max_size=4), seeds, blocks)
def test_batches_of_one_take_every_record_exactly_once_a_pass(shards, seed, block):
    wanted = good(shards)
    seen = taken(order(shards, 1, seed, block), 0, 3 * len(wanted))
    for epoch in range(3):
        assert sorted(p for b in seen[epoch * len(wanted) : (epoch + 1) * len(wanted)] for p in b) == wanted


@quick
@given(shards_of, sizes, worlds, seeds, blocks)
def test_ranks_deal_out_one_sequence_between_them(shards, size, world, seed, block):
    ranks = [order(shards, size, seed, block, rank=r, world=world) for r in range(world)]
    dealt = [batch for step in zip(*(taken(r, 0, 5) for r in ranks), strict=True) for batch in step]
    assert dealt == taken(order(shards, size, seed, block), 0, 5 * world)


@quick
@example(["a", "a"], 1, 0, 1, 1, 2, 3, False)
@given(
    shards_of, sizes, seeds, blocks, st.integers(0, 20), st.integers(1, 3), st.integers(1, 3), st.booleans()
)
def test_a_saved_state_goes_on_exactly_on_any_number_of_ranks(
    shards, size, seed, block, steps, before, after, weighted
):
    """Also where the ranks do not divide what was had: nothing is lost and nothing comes twice."""
    weight = (lambda place: (1 + place[1] % 3) / 2) if weighted else (lambda place: 1.0)
    whole = taken(order(shards, size, seed, block, weight=weight), 0, steps * before + 4 * after)
    first = order(shards, size, seed, block, weight=weight, world=before)
    for position, _ in enumerate(islice(iter(first), steps), 1):
        first.seek(position)
    ranks = [order(shards, size, seed, block, weight=weight, rank=r, world=after) for r in range(after)]
    for rank in ranks:
        rank.restore(first.state())
    went_on = zip(*(places(islice(iter(rank), 4)) for rank in ranks), strict=True)
    assert [batch for step in went_on for batch in step] == whole[steps * before :]


def test_going_on_reads_the_open_block_and_what_was_carried_only():
    shards = ["aaab" * 10] * 6
    first = order(shards, 3, block=10)
    for position, _ in enumerate(islice(iter(first), 50), 1):
        first.seek(position)
    state = first.state()
    records = Letters(shards)
    second = order(records, 3, block=10)
    second.restore(state)
    taken(second, 50, 1)
    assert state["cursor"]["turn"] >= 3
    blocks = {(shard, row // 10) for shard, row in records.read}
    cursor = state["cursor"]
    assert len(blocks) <= 2 + len({(s, row // 10) for s, row in cursor["carried"]})
    assert len(cursor["carried"]) <= 2 * 2


def test_a_round_that_begins_where_the_last_ended_reads_nothing_twice():
    """Workers had already prefetched further: their batches are dealt out again from memory."""
    records = Letters(["ab" * 20] * 2)
    sampler = order(records, 2, block=8)
    for position in range(0, 16, 2):
        assert len(taken(sampler, position, 2 + 4)) == 6
        sampler.seek(position + 2)
    assert set(records.read.values()) == {1}


@quick
@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0, 1.75, 3.0]), min_size=2, max_size=20), sizes, blocks)
def test_a_weight_is_how_often_a_case_is_drawn(weights, size, block):
    if not any(weights):
        return
    sampler = order(["a" * len(weights)], size, block=block, weight=lambda place: weights[place[1]])
    passes = 20
    drawn = Counter(p for b in taken(sampler, 0, int(passes * sum(weights) / size)) for p in b)
    for row, weight in enumerate(weights):
        assert abs(drawn[0, row] - passes * weight) <= weight + 3
    assert all(weights[row] > 0 for _, row in drawn)


def test_an_epoch_is_so_many_batches_and_the_next_goes_on_from_there():
    whole = taken(order(["aab", "ba"], 2), 0, 8)
    sampler = order(["aab", "ba"], 2, batches_per_epoch=4)
    assert places(sampler) == whole[:4]
    sampler.seek(4)
    assert places(sampler) == whole[4:]
    sampler.seek(3)
    assert places(sampler) == whole[3:4]


def test_the_seed_and_the_pass_change_the_order_and_no_shuffle_keeps_it():
    shards = ["aaaa", "aaaa", "aaaa"]
    first, other = taken(order(shards, 4), 0, 6), taken(order(shards, 4, seed=1), 0, 6)
    assert first[:3] != first[3:]
    assert first != other
    plain = taken(order(shards, 4, shuffle=False), 0, 6)
    assert plain == [[(s, row) for row in range(4)] for s in range(3)] * 2


def test_too_many_faulty_records_stop_the_run_at_the_end_of_the_pass():
    with pytest.raises(
        ValueError, match=r"of 5 records so far, 3 are faulty and 1 are not used.*max_bad_share 0\.5"
    ):
        taken(order(["a!?!!"], 1, share=0.5), 0, 3)
    assert taken(order(["a!?!!"], 1, share=0.6), 0, 3) == [[(0, 0)]] * 3


@pytest.mark.parametrize("shards", [["??"], [""]])
def test_a_stream_that_gives_nothing_ends_in_words(shards):
    with pytest.raises(ValueError, match="nothing is left to train on"):
        taken(order(shards, 1), 0, 1)


def test_a_state_of_another_kind_is_refused():
    with pytest.raises(ValueError, match=r"--data\.streaming: expected a checkpoint of a run that streamed"):
        order(["a"], 1).restore({"batches": 3})


def test_data_that_changed_since_the_checkpoint_are_told():
    first = order(["aaab"], 2)
    for position, _ in enumerate(islice(iter(first), 3), 1):
        first.seek(position)
    state = first.state()
    assert state["cursor"]["carried"]
    with pytest.raises(ValueError, match="of shard 0 is gone"):
        order(["!!!!"], 2).restore(state)
