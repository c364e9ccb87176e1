"""``python -m hpedit build``: from folders of photographs to RealPref, by one command that can be killed and go on."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from hpedit.build.annotate import Annotate
from hpedit.build.balance import Balance
from hpedit.build.balance_report import balance_tables
from hpedit.build.categorise import Categorise
from hpedit.build.chain import Build
from hpedit.build.chunks import write_durably
from hpedit.build.collect import Collect
from hpedit.build.deduplicate import Deduplicate
from hpedit.build.edit import Edit
from hpedit.build.engine import Engine
from hpedit.build.filter import Filter, filter_table
from hpedit.build.publish import Publish
from hpedit.build.score import Score
from hpedit.build.stage import Recipe
from hpedit.build.step import Stage
from hpedit.build.summary import report


def build(
    work: str = "build",
    collect: Collect = Collect(),
    deduplicate: Deduplicate | None = Deduplicate(),
    categorise: Categorise | None = None,
    annotate: Annotate | None = None,
    balance: Balance | None = None,
    edit: Edit | None = None,
    score: Score | None = None,
    filter: Filter | None = None,
    publish: Publish | None = None,
    engine: Engine = Engine(),
    until: str | None = None,
    retry: str | None = None,
) -> None:
    """Build a data set of hard editing cases. Killed at any moment, the same command goes on where it was.

      python -m hpedit build --config build.yaml \\
        --collect.folders '[{path: photos}]'
      python -m hpedit build --config build.yaml --until balance

    Prints a table of what each stage took in, let go and set aside, and why; the data set is the last stage's folder.
    Every stage leaves a folder of Parquet in the work folder; a changed setting redoes its stage and what follows. A
    stage that is null is left out. See docs/build.md.

    Args:
        work: folder of the stages and of build_report.json.
        collect: which photographs, from where.
        deduplicate: which of them are the same.
        categorise: which MS-COCO categories they show.
        annotate: the VLM that writes their instructions.
        balance: which shares of tasks and categories are wanted.
        edit: the base editor, and how many edits of a case it makes.
        score: who scores the edits.
        filter: which cases are hard enough to stay.
        publish: the data set for others.
        engine: where the work is done.
        until: stage after which to stop; null goes on to the end.
        retry: stage whose chunks with quarantined records are done again, and what follows it.
    """
    stages: tuple[Stage | None, ...] = (
        *(collect, deduplicate, categorise, annotate),
        *(balance, edit, score, filter, publish),
    )
    chain = Build(Path(work).expanduser(), tuple(s for s in stages if s is not None), engine)
    built = chain.run(collect.items(), until, retry)
    write_durably(chain.work / "build_report.json", report(built.recipe))
    Console().print(*details(built.recipe), summary(built.recipe), sep="\n")
    print("\n".join(reasons(built.recipe)))
    print(f"{built.folder}: the result; {chain.work / 'build_report.json'}: counts, reasons and settings")


def summary(recipe: Recipe) -> Table:
    """Return the table of what each stage did; "left out" is what it rightly let go."""
    table = Table(title="build")
    table.add_column("stage")
    for name in ("in", "out", "left out", "quarantined", "seconds"):
        table.add_column(name, justify="right")
    for s in recipe.stages:
        counts = (s.records_in, s.records_out, s.left_out, s.quarantined)
        table.add_row(s.name, *(f"{n:,}" for n in counts), f"{s.seconds:,.1f}")
    return table


def details(recipe: Recipe) -> list[Table]:
    """Return what the stages that choose among records chose, by task and category."""
    tables: list[Table] = []
    for s in recipe.stages:
        if s.name == Balance.name:
            tables += balance_tables(s.notes)
        elif s.name == Filter.name:
            tables.append(filter_table(s.notes))
    return tables


def reasons(recipe: Recipe, most: int = 5) -> list[str]:
    """Return a line for each of the ``most`` frequent reasons for which a stage quarantined records."""
    return [
        f"{s.name}: {count:,} x {reason}"
        for s in recipe.stages
        for reason, count in list(s.reasons.items())[:most]
    ]


COMMAND = build
