"""Charts of a published data set: its tasks and categories, as the paper's Figure 3 has them, and its scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

_BLUE, _GREY = "#3b6ea5", "#b9bec6"


def bar_chart(path: Path, title: str, counts: Mapping[str, int]) -> None:
    """Write a PNG of horizontal bars, the largest on top, each with its count and its share of ``counts``' sum."""
    ranked = sorted(counts.items(), key=lambda item: (item[1], item[0]))
    whole = sum(counts.values())
    # Constant inches a bar, so that 80 categories are as readable as 8 tasks.
    figure = Figure(figsize=(8, 1.2 + 0.24 * max(len(ranked), 4)), layout="constrained")
    axes = figure.add_subplot()
    bars = axes.barh(
        [name.replace("_", " ") for name, _ in ranked], [n for _, n in ranked], color=_BLUE, height=0.75
    )
    axes.bar_label(bars, [f"{n:,} ({n / whole:.1%})" for _, n in ranked], padding=3, fontsize=8)
    axes.set_title(title)
    axes.set_xlabel("cases")
    axes.margins(x=0.16, y=0.01)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="y", labelsize=8, length=0)
    figure.savefig(path, dpi=120)


def score_chart(path: Path, before: Sequence[int], after: Sequence[int]) -> None:
    """Write a PNG of two histograms over the digits 0 to 5: cases before and after the filter."""
    figure = Figure(figsize=(6, 3.2), layout="constrained")
    axes = figure.add_subplot()
    digits = list(range(len(before)))
    axes.bar([d - 0.2 for d in digits], before, 0.4, label="before the filter", color=_GREY)
    axes.bar([d + 0.2 for d in digits], after, 0.4, label="after", color=_BLUE)
    axes.set_xticks(digits)
    axes.set_xlabel("mean score of a case's candidates, rounded")
    axes.set_ylabel("cases")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
