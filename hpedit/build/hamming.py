"""Near neighbours among 64-bit hashes without comparing all pairs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

BITS = 64


class HammingIndex:
    """Finds hashes within a few bits of a given one (multi-index hashing).

    A hash is cut into ``radius + 1`` bands. Two hashes that differ in at most ``radius`` bits have a band without a
    difference, so that only hashes that share a whole band need be compared.
    """

    def __init__(self, radius: int) -> None:
        """Raises ValueError unless 0 <= radius < 64."""
        if not 0 <= radius < BITS:
            raise ValueError(f"radius: expected 0 to {BITS - 1} bits, got {radius}")
        self.radius = radius
        count = radius + 1
        ends = [BITS * i // count for i in range(count + 1)]
        self._bands = [(low, (1 << (high - low)) - 1) for low, high in pairwise(ends)]
        self._tables: list[dict[int, list[int]]] = [{} for _ in self._bands]

    def add(self, code: int) -> None:
        """Make ``code`` findable."""
        for table, (shift, mask) in zip(self._tables, self._bands, strict=True):
            table.setdefault(code >> shift & mask, []).append(code)

    def near(self, code: int) -> Iterator[int]:
        """Yield added hashes within the radius of ``code``; one that shares several bands comes several times."""
        for table, (shift, mask) in zip(self._tables, self._bands, strict=True):
            for other in table.get(code >> shift & mask, ()):
                if (other ^ code).bit_count() <= self.radius:
                    yield other
