"""Scores from the records, and scores asked for now."""

from dataclasses import replace
from pathlib import Path

from hpedit.calibration.judges import Judge, ask, stored_judges, stored_scores
from hpedit.calibration.ratings import rated_edits
from hpedit.cases import ScoreRecord
from hpedit.pictures import Picture
from hpedit.scorers.base import Score
from tests.support.rated_cases import rated_cases
from tests.support.scorers import BrightnessScorer


def scored(*records):
    """Two cases of different tasks whose edit k0 has these records: (case, prompt version, value, time)."""
    cases = [replace(case, scores=()) for case in rated_cases(2)]
    for number, version, value, ts in records:
        record = ScoreRecord("k0", "hp", version, "expectation", value, ts=ts)
        cases[number] = replace(cases[number], scores=(*cases[number].scores, record))
    return rated_edits(cases)


def test_versions_that_share_no_task_are_one_judge():
    assert stored_judges(scored((0, "1", 3.0, 1.0), (1, "2", 3.0, 1.0))) == [
        Judge("hp", ("1", "2"), "expectation")
    ]


def test_versions_of_one_task_are_judges_apart():
    edits = scored((0, "1", 3.0, 1.0), (0, "2", 4.0, 1.0), (1, "1", 2.0, 1.0))
    first, second = stored_judges(edits)
    assert [score.value for score in stored_scores(edits, first) if not score.failure] == [3.0, 2.0]
    assert [score.value for score in stored_scores(edits, second) if not score.failure] == [4.0]
    assert str(second) == "hp, prompt 2, expectation"


def test_the_newest_score_counts_and_failures_stay_missing():
    edits = scored((0, "1", 3.0, 2.0), (0, "1", 1.0, 1.0), (1, "1", None, 1.0))
    values = stored_scores(edits, stored_judges(edits)[0])
    assert values[0].value == 3.0
    assert [score.failure for score in values[1:]] == ["not scored", "scored without success", "not scored"]


def test_a_stored_value_off_the_scale_is_missing():
    edits = scored((0, "1", 17.0, 1.0))
    assert "17" in (stored_scores(edits, stored_judges(edits)[0])[0].failure or "")


def test_asking_keeps_the_order_and_what_fails_costs_itself():
    cases = rated_cases(9, 3)
    broken = replace(cases[4].candidates[1], image=Picture(Path("nowhere.png")))
    cases[4] = replace(cases[4], candidates=(cases[4].candidates[0], broken, cases[4].candidates[2]))
    edits = rated_edits(cases)
    scores = list(ask(edits, BrightnessScorer(failing=("style_transfer",)), batch_size=4, max_in_flight=3))
    for edit, score in zip(edits, scores, strict=True):
        if edit.task == "style_transfer":
            assert score.failure == "no opinion"
        elif edit.candidate is broken:
            assert "missing image" in (score.failure or "")
        else:
            mean = sum(edit.candidate.image.decode().convert("RGB").tobytes()) / (32 * 32 * 3)
            assert abs(score.value - 5 * mean / 255) < 1e-4


def test_large_pictures_are_judged_as_the_score_command_judges_them():
    class Sizes:
        def check(self):
            pass

        def score(self, requests):
            return [
                Score(r.edit.shape[1] / 10 if r.sources[0].shape == r.edit.shape else 0.0) for r in requests
            ]

    edits = rated_edits(rated_cases(1))
    assert [s.value for s in ask(edits, Sizes(), max_pixels=256)] == [1.6, 1.6]
    assert [s.value for s in ask(edits, Sizes())] == [3.2, 3.2]
