"""Any data set as one pass over its records: nothing is indexed, and nothing is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hpedit.cases import Case, case_of
from hpedit.records import read_cases
from hpedit.rows import local_files
from hpedit.shards import open_shards


@dataclass(frozen=True)
class Record:
    """A record's name in messages, and its case or what keeps it from being one."""

    label: str
    case: Case | ValueError


def records(path: str, name: str) -> Iterator[Record]:
    """Yield the records of a data set; ``path`` and ``name`` are as in hpedit.records.read_cases.

    Raises ValueError that starts with ``name`` where there is nothing to read, before the first record.
    """
    files = local_files(path)
    is_table = bool(files) and files[0].endswith((".jsonl", ".csv"))
    return _of_table(path, name) if is_table else _of_shards(path, name)


def _of_table(path: str, name: str) -> Iterator[Record]:
    cases = read_cases(path, name)
    for index in range(len(cases)):
        try:
            yield Record(cases.label(index), cases[index])
        except ValueError as fault:
            yield Record(cases.label(index), fault)


def _of_shards(path: str, name: str) -> Iterator[Record]:
    shards = open_shards(path, name)
    rows = (row for shard in range(shards.count) for row in shards.rows(shard, 0))
    for index, row in enumerate(rows):
        label = f"record {index}" + (f" ({row['case_id']})" if row.get("case_id") else "")
        try:
            yield Record(label, case_of(row, shards.root, f"row-{index:06d}"))
        except ValueError as fault:
            yield Record(label, fault)
