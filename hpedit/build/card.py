"""README.md of a published data set: the header that hubs and ``datasets`` read, and what people ask."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import yaml

from hpedit.build.census import Census
from hpedit.build.stage import Recipe, StageSummary
from hpedit.tasks import TASKS

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


@dataclass(frozen=True)
class Card:
    """What a card says.

    Attributes:
        title: of the data set.
        license: identifier of the whole, as hubs know it.
        census: what is in it.
        recipe: the stages before publishing.
        charts: names of pictures in the folder ``charts``, and what they show.
    """

    title: str
    license: str
    census: Census
    recipe: Recipe
    charts: dict[str, str]

    def text(self) -> str:
        """Return the whole README.md."""
        sections = (
            self._about(),
            self._contents(),
            self._charts(),
            _counts(self.recipe),
            _scores(self.recipe),
            self._licenses(),
            "## Recipe\n\n`recipe.json` holds every stage with its settings, counts and reasons.",
        )
        return f"---\n{self.header()}---\n\n" + "\n\n".join(filter(None, sections)) + "\n"

    def header(self) -> str:
        """Return the YAML header."""
        facts = {
            "pretty_name": self.title,
            "license": self.license,
            "language": sorted(self.census.languages),
            "task_categories": ["image-to-image"],
            "tags": ["image-editing", "human-preference", "hpedit"],
            "size_categories": [_size(self.census.cases)],
            "configs": [_config("default", "data", self.census.splits)],
        }
        if self.census.pairs:
            facts["configs"] += [_config("pairs", "pairs", self.census.pairs)]
        return yaml.safe_dump(facts, sort_keys=False)

    def _about(self) -> str:
        census = self.census
        photos = sum(map(len, census.photos.values()))
        there = "validation" in census.splits
        held_out = " --data.val_data 'FOLDER/data/validation-*.parquet'" if there else ""
        return (
            f"# {self.title}\n\n{census.cases:,} editing cases over {photos:,} photographs, with {census.candidates:,} "
            "scored edits of a base model, made by `python -m hpedit build`. A case is a photograph, an instruction "
            "and one of eight tasks; `weight` says how often to draw it. No photograph is in two splits.\n\n"
            '```python\nfrom datasets import load_dataset\n\ncases = load_dataset("FOLDER", split="train")\n```\n\n'
            f"Training: `python train.py fit --config grpo.yaml --data.data FOLDER{held_out}`."
        )

    def _contents(self) -> str:
        census = self.census
        rows = [
            (split, f"{n:,}", f"{len(census.photos[split]):,}", f"{census.pairs[split]:,}")
            for split, n in census.splits.items()
        ]
        return "## Splits\n\n" + table(("split", "cases", "photographs", "preference pairs"), rows)

    def _charts(self) -> str:
        return "## Distribution\n\n" + "\n\n".join(
            f"![{what}](charts/{name})" for name, what in self.charts.items()
        )

    def _licenses(self) -> str:
        rows = [
            (name or "unknown", terms or "unknown", f"{n:,}")
            for (name, terms), n in self.census.licenses.most_common()
        ]
        return "## Licences of the photographs\n\n" + table(("source", "licence", "cases"), rows)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table, all columns but the first aligned to the right; bars in cells are escaped."""
    lines = [
        list(head),
        ["---", *["---:"] * (len(head) - 1)],
        *([cell.replace("|", "\\|") for cell in r] for r in rows),
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _counts(recipe: Recipe) -> str:
    rows = [
        (s.name, *(f"{n:,}" for n in (s.records_in, s.records_out, s.left_out, s.quarantined)))
        for s in recipe.stages
    ]
    text = "## Counts at each stage\n\n" + table(("stage", "in", "out", "left out", "quarantined"), rows)
    reasons = [
        (f"{s.name}: {why}", f"{n:,}") for s in recipe.stages for why, n in list(s.reasons.items())[:5]
    ]
    return text + ("\n\n" + table(("quarantined because", "records"), reasons) if reasons else "")


def _scores(recipe: Recipe) -> str:
    by_task = filter_facts(recipe)
    if not by_task:
        return ""
    rows = [
        (
            task,
            f"{f['before']:,}",
            f"{f['kept']:,}",
            f"{f['share']:.1%}",
            _spread(f["histogram_before"]),
            _spread(f["histogram_after"]),
        )
        for task, f in sorted(by_task.items(), key=lambda item: TASKS.index(item[0]))
    ]
    head = ("task", "scored", "kept", "share", "scores 0 to 5 before", "and after")
    return "## Hard-case filter\n\nCases by the mean score of their candidates, rounded.\n\n" + table(
        head, rows
    )


def filter_facts(recipe: Recipe) -> dict[str, dict]:
    """Return the filter's facts by task; empty where nothing was filtered."""
    stage: StageSummary | None = next((s for s in recipe.stages if s.name == "filter"), None)
    facts = stage.notes.get("by_task") if stage else None
    return facts if isinstance(facts, dict) else {}


def _spread(histogram: Sequence[int]) -> str:
    return " / ".join(f"{n:,}" for n in histogram)


def _config(name: str, folder: str, splits: Iterable[str]) -> dict[str, object]:
    files = [{"split": split, "path": f"{folder}/{split}-*.parquet"} for split in splits]
    return {"config_name": name, "data_files": files}


def _size(cases: int) -> str:
    return next((name for limit, name in _SIZES if cases < limit), "n>1M")
