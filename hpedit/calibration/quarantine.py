"""What could not be used, set apart and counted by reason: one bad row costs itself and is never silent."""

from __future__ import annotations

from collections import defaultdict

_NAMED = 3


class Quarantine:
    """Collects unusable records by reason."""

    def __init__(self) -> None:
        self._records: dict[str, list[str]] = defaultdict(list)

    def add(self, record: str, reason: str) -> None:
        """Set ``record`` (what messages call it) apart for ``reason``."""
        self._records[reason].append(record)

    def __len__(self) -> int:
        return sum(map(len, self._records.values()))

    def counts(self) -> dict[str, int]:
        """Return how many records each reason cost, the most frequent first."""
        return {reason: len(self._records[reason]) for reason in self._by_frequency()}

    def lines(self) -> list[str]:
        """Return one line a reason: how many, why, and the first records it befell."""
        return [
            f"{len(self._records[reason])} x {reason}: {self._named(reason)}"
            for reason in self._by_frequency()
        ]

    def tell(self, what: str) -> None:
        """Print how many records are ``what``, and why; nothing where there are none."""
        if self:
            print(f"{len(self)} {what}:", *self.lines(), sep="\n  ")

    def _by_frequency(self) -> list[str]:
        return sorted(self._records, key=lambda reason: (-len(self._records[reason]), reason))

    def _named(self, reason: str) -> str:
        records = self._records[reason]
        return ", ".join(records[:_NAMED]) + (", ..." if len(records) > _NAMED else "")
