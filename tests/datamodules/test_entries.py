"""What is kept of a record: everything that was said of it, in a few dozen bytes."""

import tracemalloc
from itertools import islice

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from datamodules.entries import Entries, Entry, EntryWriter, repeated
from datamodules.sampler import BucketBatchSampler
from hpedit.tasks import TASKS

keys = st.integers(0, 2**63 - 1)
entries_of = st.lists(
    st.builds(
        Entry,
        row=st.integers(0, 2**40),
        key=keys,
        task=st.sampled_from(TASKS),
        bucket=st.tuples(st.sampled_from([("1:1",), ("4:3",), ("4:3", "1:1")]), st.booleans()),
        picture=keys,
        weight=st.floats(0, 1e6),
        score=st.none() | st.floats(0, 5),
        chosen=st.none() | st.tuples(st.integers(0, 99), st.integers(0, 99)),
    ),
    max_size=12,
)


def table_of(entries: list[Entry]) -> Entries:
    writer = EntryWriter(len(entries) + 3)
    for entry in entries:
        writer.add(entry)
    return writer.entries()


@given(entries_of, st.data())
def test_an_entry_comes_back_as_it_was(entries, data):
    table = table_of(entries)
    assert list(table) == entries
    assert table.tasks == [entry.task for entry in entries]
    rows = data.draw(st.lists(st.sampled_from(range(len(entries))))) if entries else []
    assert list(table.only(rows)) == [entries[i] for i in rows]
    wide = [len(entry.bucket[0]) > 1 for entry in entries]
    assert list(table.only(wide)) == [entry for entry in entries if len(entry.bucket[0]) > 1]


@given(st.lists(st.integers(0, 6), max_size=20))
def test_what_came_before_is_found_with_its_first_place(numbers):
    expected = [(i, numbers.index(n)) for i, n in enumerate(numbers) if n in numbers[:i]]
    assert repeated(np.array(numbers, dtype=int)) == expected


def test_a_hundred_thousand_cases_and_their_order_cost_some_dozens_of_bytes_each():
    count = 100_000
    tracemalloc.start()
    writer = EntryWriter(count)
    for row in range(count):
        shape = (("1:1",) if row % 3 else ("4:3",), False)
        writer.add(Entry(row, row * 7919, TASKS[row % 8], shape, row * 104729))
    entries = writer.entries()
    kept = tracemalloc.get_traced_memory()[0] / count
    order = BucketBatchSampler(entries.table["bucket"], 8, endless=True)
    first = list(islice(order, 3))
    running = tracemalloc.get_traced_memory()[0] / count
    tracemalloc.stop()
    assert all(len({entries[i].bucket for i in batch}) == 1 for batch in first)
    assert kept < 60
    assert running < 120
