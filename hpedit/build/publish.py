"""Stage 8: the data set that the user asked for, with a card, charts, recipe, splits and preference pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features

from hpedit.build.card import Card, filter_facts
from hpedit.build.census import Census
from hpedit.build.charts import bar_chart, score_chart
from hpedit.build.fingerprint import describe
from hpedit.build.kinds import CASES
from hpedit.build.pairs import preference
from hpedit.build.shards import Shards
from hpedit.build.stage import Recipe, Records
from hpedit.build.summary import to_json
from hpedit.cases import Case, Pair
from hpedit.noise import key_number
from hpedit.records import PAIR_FEATURES, pair_row

_ROWS = 64  # cases in memory, and in a row group


@dataclass(frozen=True)
class Publish:
    """Writes Parquet files with embedded pictures that ``datasets.load_dataset`` opens in one line.

    Attributes:
        title: of the data set.
        license: identifier of the whole, such as "cc-by-4.0"; those of the photographs are listed in the card.
        validation, test: shares of the photographs, in [0, 1), that are held out with all their cases. Which they are
            depends on the photograph and ``seed`` alone, so that a larger build holds the same ones out.
        seed: of the splits.
        min_gap: least difference of score between the two edits of a preference pair; null writes no pairs.
        shard_mb: size of a file, in millions of bytes; one of 8,192 cases is full, however small they are.
    """

    title: str = "RealPref"
    license: str = "other"
    validation: float = 0.02
    test: float = 0.0
    seed: int = 0
    min_gap: float | None = 1.0
    shard_mb: float = 500.0
    name: ClassVar[str] = "publish"
    version: ClassVar[int] = 2

    def __post_init__(self) -> None:
        if not (self.validation >= 0 and self.test >= 0 and self.validation + self.test < 1):
            raise ValueError(
                "publish: expected shares validation, test >= 0 that leave something to train on, "
                f"got {self.validation} and {self.test}"
            )
        if self.min_gap is not None and self.min_gap <= 0:
            raise ValueError(
                f"publish.min_gap: expected more than 0, or a tie would be a preference, got {self.min_gap}"
            )
        if self.shard_mb <= 0:
            raise ValueError(f"publish.shard_mb: expected more than 0, got {self.shard_mb}")

    def split(self, photo: bytes) -> str:
        """Return the split of a photograph that is told from others by ``photo``."""
        place = key_number("split", self.seed, photo.hex()) / 2**63
        if place < self.validation:
            return "validation"
        return "test" if place < self.validation + self.test else "train"

    def export(self, records: Records, recipe: Recipe, folder: Path) -> dict[str, object]:
        if records.kind.name != CASES.name:
            raise ValueError(
                f"stage publish reads {CASES.name}, but what comes before it leaves {records.kind.name}"
            )
        census = _write(self, records, folder)
        charts = _draw(folder / "charts", census, recipe)
        card = Card(self.title, self.license, census, recipe, charts)
        (folder / "README.md").write_text(card.text(), encoding="utf-8")
        stages = [asdict(summary) for summary in recipe.stages]
        (folder / "recipe.json").write_bytes(to_json({"publish": describe(self), "stages": stages}))
        verify(folder, "default", census.splits)
        verify(folder, "pairs", census.pairs)
        return census.facts()


def _write(settings: Publish, records: Records, folder: Path) -> Census:
    census, shards, size = Census(), dict[tuple[str, str], Shards](), int(settings.shard_mb * 1e6)
    for table in records.tables(_ROWS):
        cases = CASES.records(table)
        photos = [case.source.fingerprint() for case in cases]
        splits = [settings.split(photo) for photo in photos]
        for case, split, photo in zip(cases, splits, photos, strict=True):
            census.add(case, split, photo)
        for key, part in _parts(table, cases, splits, settings.min_gap):
            if key not in shards:
                shards[key] = Shards(folder / key[0], key[1], part.schema, size)
            shards[key].add(part)
    for writer in shards.values():
        writer.close()
    census.splits = _in_order({split: s.rows for (kind, split), s in shards.items() if kind == "data"})
    census.pairs = _in_order({split: s.rows for (kind, split), s in shards.items() if kind == "pairs"})
    return census


def _parts(
    table: pa.Table, cases: Sequence[Case], splits: Sequence[str], min_gap: float | None
) -> Iterator[tuple[tuple[str, str], pa.Table]]:
    """Yield the rows of each split, and its pairs, under (folder, split)."""
    known = _with_features(table)
    for split in sorted(set(splits)):
        rows = [i for i, s in enumerate(splits) if s == split]
        yield ("data", split), known.take(pa.array(rows))
        pairs = [] if min_gap is None else [preference(cases[i], min_gap) for i in rows]
        if found := [pair for pair in pairs if pair is not None]:
            yield ("pairs", split), _pair_table(found)


def _with_features(table: pa.Table) -> pa.Table:
    """Return the table as ``datasets`` knows it: pictures are pictures, an added column is what it is."""
    added = [field for field in table.schema if field.name not in CASES.features]
    features = Features({**CASES.features, **Features.from_arrow_schema(pa.schema(added))})
    return table.select(list(features)).cast(features.arrow_schema)


def _pair_table(pairs: Sequence[Pair]) -> pa.Table:
    return pa.Table.from_pylist(list(map(pair_row, pairs)), schema=PAIR_FEATURES.arrow_schema)


def _in_order(counts: dict[str, int]) -> Counter[str]:
    return Counter({split: counts[split] for split in ("train", "validation", "test") if split in counts})


def _draw(folder: Path, census: Census, recipe: Recipe) -> dict[str, str]:
    """Draw the charts that there are data for, and return what each shows, by file name."""
    folder.mkdir()
    bar_chart(folder / "tasks.png", "Tasks", census.tasks)
    charts = {"tasks.png": "cases by task"}
    if census.categories:
        bar_chart(folder / "categories.png", "MS-COCO categories", census.categories)
        charts["categories.png"] = "cases by MS-COCO category"
    if by_task := filter_facts(recipe).values():
        before, after = (
            [sum(column) for column in zip(*(f[f"histogram_{when}"] for f in by_task), strict=True)]
            for when in ("before", "after")
        )
        score_chart(folder / "scores.png", before, after)
        charts["scores.png"] = "cases by score, before and after the filter"
    return charts


def verify(folder: Path, config: str, splits: Counter[str]) -> None:
    """Read back what was published as its users will. Raises ValueError where rows are missing or do not open."""
    for split, wanted in splits.items():
        try:
            rows = datasets.load_dataset(str(folder), config, split=split, streaming=True)
            next(iter(rows))["source"].load()
        except Exception as error:  # whatever datasets raises, the user is to know of which split
            raise ValueError(f"publish: {config}/{split} does not open with datasets: {error}") from error
        place = folder / ("data" if config == "default" else config)
        found = sum(pq.read_metadata(file).num_rows for file in place.glob(f"{split}-*.parquet"))
        if found != wanted:
            raise ValueError(f"publish: wanted {wanted} rows in {config}/{split}, found {found}")
