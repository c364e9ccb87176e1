"""Finding what is to be scored: candidates, targets, or a folder of edits that is matched by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hpedit.cases import Candidate
from hpedit.pictures import BadPicture
from hpedit.records import read_cases, write_cases
from hpedit.scoring.edits import find_edits, reader
from tests.support.cases import flat, grey_case, torn


def written(folder: Path, *cases):
    write_cases(folder / "cases.parquet", cases)
    return read_cases(str(folder / "cases.parquet"))


def two_candidates() -> dict:
    return {"candidates": (Candidate("k0", flat(10), "base"), Candidate("k1", flat(20), "ours"))}


def test_every_candidate_is_an_edit(tmp_path: Path) -> None:
    found = find_edits(written(tmp_path, grey_case(1, **two_candidates()), grey_case(2)), "candidates")
    assert [(e.index, e.candidate.cand_id) for e in found.edits] == [(0, "k0"), (0, "k1")]
    assert (found.bare, found.faults, found.unmatched) == (1, {}, 0)


def test_targets_are_edits_where_there_are_any(tmp_path: Path) -> None:
    found = find_edits(written(tmp_path, grey_case(1, target=flat(9)), grey_case(2)), "target")
    assert [(e.case.case_id, e.candidate.cand_id) for e in found.edits] == [("case-1", "target")]


def test_a_folder_of_edits_is_matched_by_the_stem_of_the_source_or_the_id(tmp_path: Path) -> None:
    data, edits = tmp_path / "photos", tmp_path / "edits"
    data.mkdir()
    (edits / "ours").mkdir(parents=True)
    for name in ("ann.jpg", "bob.jpg", "eve.jpg"):
        (data / name).write_bytes(flat(5).read())
    lines = [f"{name}.jpg,Blur,bokeh,{case}" for name, case in (("ann", ""), ("bob", "b7"), ("eve", ""))]
    (data / "metadata.csv").write_text("\n".join(["file_name,instruction,task,case_id", *lines]))
    for name in ("ann.png", "b7.webp", "stray.png", "ours/ann.PNG", "notes.txt"):
        (edits / name).write_bytes(flat(7).read())
    found = find_edits(read_cases(str(data)), str(edits))
    ids = {(e.index, e.candidate.cand_id, e.candidate.model) for e in found.edits}
    assert ids == {(0, "ann", "edits"), (0, "ours/ann", "ours"), (1, "b7", "edits")}
    assert (found.bare, found.unmatched) == (1, 1)


def test_a_faulty_record_costs_only_itself(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(flat(5).read())
    (tmp_path / "metadata.csv").write_text(
        "file_name,instruction,task,target\na.png,Blur,bokeh,a.png\na.png,Fly,flying,a.png\n"
    )
    found = find_edits(read_cases(str(tmp_path)), "target")
    assert [e.index for e in found.edits] == [0]
    assert "unknown task 'flying'" in found.faults["record 1 (a.png)"]


@pytest.mark.parametrize("which", ["candidates", "nowhere"])
def test_nothing_to_score_is_an_error_that_names_the_flag(tmp_path: Path, which: str) -> None:
    with pytest.raises(ValueError, match="--edits"):
        find_edits(written(tmp_path, grey_case(1)), which)


def test_the_digest_follows_everything_that_is_judged(tmp_path: Path) -> None:
    [edit, other] = find_edits(written(tmp_path, grey_case(1, **two_candidates())), "candidates").edits
    case = edit.case
    changed = [
        other,
        replace(edit, candidate=replace(edit.candidate, image=flat(11))),
        replace(edit, case=replace(case, instruction="Do 2.")),
        replace(edit, case=replace(case, requirement="Now.")),
        replace(edit, case=replace(case, task="bokeh")),
        replace(edit, case=replace(case, source=flat(99))),
        replace(edit, case=replace(case, references=(flat(99),))),
    ]
    assert len({edit.digest(), *(e.digest() for e in changed)}) == len(changed) + 1
    assert replace(edit, index=5).digest() == edit.digest()


def test_large_pictures_are_made_smaller_and_others_left_alone(tmp_path: Path) -> None:
    data = written(tmp_path, grey_case(1, size=(400, 100), candidates=(Candidate("k", flat(9, (20, 10))),)))
    [edit] = find_edits(data, "candidates").edits
    request = edit.request(reader(max_pixels=10_000))
    assert request.sources[0].shape == (3, 50, 200)
    assert request.edit.shape == (3, 10, 20)
    assert int(request.edit.unique()) == 9


def test_siblings_share_their_source_and_a_torn_picture_is_told(tmp_path: Path) -> None:
    images = two_candidates()["candidates"]
    data = written(tmp_path, grey_case(1, candidates=(*images, Candidate("k2", torn()))))
    one, other, broken = find_edits(data, "candidates").edits
    read = reader(10_000)
    assert one.request(read).sources[0] is other.request(read).sources[0]
    with pytest.raises(BadPicture):
        broken.request(read)
