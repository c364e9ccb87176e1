"""A page on which people rate edits, and what they said as files.

  python -m hpedit rate serve cases.parquet
  python -m hpedit rate export cases.parquet --out ratings

docs/rating.md tells about keys, links for raters elsewhere, hidden items and the files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hpedit.calibration.quarantine import Quarantine
from hpedit.calibration.ratings import sound_cases
from hpedit.cases import Case
from hpedit.rating.deck import Deck, cases_by_id
from hpedit.rating.export import (
    first_scores,
    first_votes,
    label_studio,
    preferred_pairs,
    rated_cases,
    write_label_studio,
    write_scores_csv,
    write_votes_csv,
)
from hpedit.rating.order import Mode, Plan
from hpedit.rating.store import Answer, Ratings
from hpedit.records import read_cases, write_cases, write_pairs
from hpedit.scorers.prompts import load_prompts


def serve(
    data: str,
    db: str = "ratings.sqlite",
    mode: Mode = "score",
    host: str = "127.0.0.1",
    port: int = 8080,
    token: str | None = None,
    site: str | None = None,
    seed: int = 0,
    repeats: float = 0.1,
    sanity: float = 0.05,
    pairs: int = 0,
    prompts: str | None = None,
) -> None:
    """Serve the rating page until Ctrl-C. Raters give a name, and go on under it whenever they come back.

      python -m hpedit rate serve cases.parquet
      python -m hpedit rate serve cases.parquet --mode vote --host 0.0.0.0

    Prints the raters' link, and the owner's to the agreement of the raters (they are not told of it). Every answer is
    in DB before the next item is shown; export makes files of them.

    Args:
        data: cases with candidates: Parquet, a glob or folder of it, or a folder with metadata.jsonl.
        db: SQLite file that every answer is committed to; made where there is none.
        mode: "score" edits from 0 to 5, or "vote" between two edits (left, right, tie, both bad).
        host: address to listen on. Anything but the loopback asks for the token.
        port: port to listen on; 0 takes a free one.
        token: what opens the page, 12 characters or more. Off the loopback one is made if none is given.
        site: host name of the page, where raters reach it by a name that is not this machine's (a proxy's).
        seed: changes every rater's order.
        repeats: share of the items that come a second time, hidden, to see whether a rater agrees with himself.
        sanity: share of items added whose answer is known: an unchanged picture is a 0, two equal edits a tie.
        pairs: most pairs of edits of one case that are voted on; 0 takes all.
        prompts: folder of scoring prompts, whose scale and checks are shown; the project's own by default.
    """
    try:
        # Imported late: exports need no web server.
        from hpedit.rating.server import run
    except ImportError as error:
        raise ValueError(f"rate serve needs the extra: pip install 'hpedit[rate]' ({error})") from error
    plan = Plan(seed, repeats, sanity, pairs)
    cases = _cases(data)
    ratings = Ratings(db)
    deck = Deck(cases, mode, plan, load_prompts(prompts), ratings.secret())
    print(f"{len(deck)} items of {len(cases)} cases to {mode}; ratings go to {db}", flush=True)
    run(deck, ratings, host, port, token, site)


def export(data: str, db: str = "ratings.sqlite", out: str = "ratings", dim: str = "overall") -> None:
    """Write what people said into a folder. May run while the page is served.

      python -m hpedit rate export cases.parquet --out ratings

    Scores become cases.parquet (the cases with their ratings), scores.csv and label_studio.json; votes become
    pairs.parquet (of edits that more than half of the voters prefer), votes.csv and label_studio.json. Hidden
    repeats, sanity items and flagged items are left out.

    Args:
        data: the cases that were rated.
        db: the database of ``rate serve``.
        out: folder for the files.
        dim: dimension that the scores are recorded under.
    """
    ratings = Ratings(db, must_exist=True)
    scores, votes = first_scores(ratings.answers("score")), first_votes(ratings.answers("vote"))
    if not scores and not votes:
        raise ValueError(f"db: wanted ratings to export, found none in {db}")
    cases, folder = _cases(data), Path(out)
    _refuse_strangers(cases, [*scores, *votes], data)
    folder.mkdir(parents=True, exist_ok=True)
    written = {"label_studio.json": write_label_studio(folder, label_studio(cases, [*scores, *votes], dim))}
    if scores:
        written["scores.csv"] = write_scores_csv(folder, scores, dim)
        written["cases.parquet"] = write_cases(folder / "cases.parquet", rated_cases(cases, scores, dim))
    if votes:
        written["votes.csv"] = write_votes_csv(folder, votes)
        written["pairs.parquet"] = write_pairs(folder / "pairs.parquet", preferred_pairs(cases, votes))
    for name, count in sorted(written.items()):
        print(f"{folder / name}: {count} records")


def _cases(data: str) -> dict[str, Case]:
    bad = Quarantine()
    cases = cases_by_id(sound_cases(read_cases(data), bad))
    for line in bad.lines():
        print(f"left out: {line}")
    return cases


def _refuse_strangers(cases: dict[str, Case], answers: Sequence[Answer], data: str) -> None:
    known = {(case.case_id, c.cand_id) for case in cases.values() for c in case.candidates}
    judged = {(a.case_id, c) for a in answers for c in (a.left, a.right) if c is not None}
    if strangers := sorted(judged - known):
        some = "/".join(strangers[0])
        raise ValueError(
            f"data: wanted the edits that were rated, {data} lacks {len(strangers)}, such as {some}"
        )


COMMAND = [serve, export]
