"""What a build did, from what its stages left behind."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from typing import Any

from hpedit.build.chunks import ChunkFolder
from hpedit.build.fingerprint import describe
from hpedit.build.stage import ExportStage, MapStage, Recipe, ReduceStage, StageSummary


def summarise(
    stage: MapStage | ReduceStage, folder: ChunkFolder, count: int, notes: dict[str, Any]
) -> StageSummary:
    """Return the counts of a stage whose ``count`` chunks are all committed."""
    every = [folder.stats(number) for number in range(count)]
    reasons = Counter(q.reason for q in folder.quarantined(count))
    return StageSummary(
        name=stage.name,
        records_in=sum(s.records_in for s in every),
        records_out=sum(s.records_out for s in every),
        quarantined=sum(s.quarantined for s in every),
        left_out=sum(s.left_out for s in every),
        seconds=round(sum(s.seconds for s in every), 3),
        reasons=dict(reasons.most_common()),
        notes=notes,
        settings=describe(stage),
    )


def summarise_export(stage: ExportStage, records: int, seconds: float, notes: dict[str, Any]) -> StageSummary:
    """Return the summary of an export of ``records`` records."""
    return StageSummary(stage.name, records, records, 0, 0, seconds, {}, notes, describe(stage))


def expect_some(summary: StageSummary) -> None:
    """Raise ValueError, with what became of them, where a stage left no record."""
    if summary.records_out:
        return
    causes = [f"{count} x {reason}" for reason, count in list(summary.reasons.items())[:3]]
    causes += [f"{name}: {value}" for name, value in summary.notes.items()]
    raise ValueError(
        f"stage {summary.name}: none of its {summary.records_in} records is left ({summary.quarantined} quarantined, "
        f"{summary.left_out} left out){': ' if causes else ''}{'; '.join(causes)}"
    )


def to_json(value: object) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=False).encode()


def report(recipe: Recipe) -> bytes:
    """Return build_report.json: what every stage did, in order, and with which settings."""
    return to_json([asdict(summary) for summary in recipe.stages])
