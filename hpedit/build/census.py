"""What is in a published data set: counted while it is written."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hpedit.cases import Case


@dataclass
class Census:
    """Counts of cases.

    Attributes:
        splits, pairs: cases and preference pairs, by split.
        tasks, languages: cases, by task and language of the instruction.
        categories: cases, by MS-COCO category; a case may have several.
        licenses: cases, by (data set, licence) of the photograph.
        photos: distinct photographs, by split.
        candidates: edits of all cases.
    """

    splits: Counter[str] = field(default_factory=Counter)
    pairs: Counter[str] = field(default_factory=Counter)
    tasks: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    categories: Counter[str] = field(default_factory=Counter)
    licenses: Counter[tuple[str, str]] = field(default_factory=Counter)
    photos: dict[str, set[bytes]] = field(default_factory=dict)
    candidates: int = 0

    def add(self, case: Case, split: str, photo: bytes) -> None:
        """Count a case of ``split`` whose photograph is told from others by ``photo``."""
        self.splits[split] += 1
        self.tasks[case.task] += 1
        self.languages[case.instruction_lang] += 1
        self.categories.update(set(case.categories))
        self.licenses[case.provenance.dataset, case.provenance.license] += 1
        self.photos.setdefault(split, set()).add(photo)
        self.candidates += len(case.candidates)

    @property
    def cases(self) -> int:
        return self.splits.total()

    def facts(self) -> dict[str, object]:
        """Return the counts as JSON-able data."""
        return {
            "cases": dict(self.splits),
            "photos": {split: len(photos) for split, photos in self.photos.items()},
            "pairs": dict(self.pairs),
            "candidates": self.candidates,
            "tasks": dict(self.tasks.most_common()),
            "languages": dict(self.languages.most_common()),
            "categories": dict(self.categories.most_common()),
        }
