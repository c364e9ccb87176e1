"""From photographs to cases: which tasks are asked for, what becomes of a VLM's answers, and what is never asked."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hpedit.build.annotate import Annotate
from hpedit.build.photo import Photo, Rating
from hpedit.build.stage import Failure, Outcome
from hpedit.build.writer import InstructionWriter
from hpedit.cases import Case, Provenance, ScoreRecord
from hpedit.miniature.random_checkpoints import make_qwen2_5_vl
from hpedit.pictures import Picture
from hpedit.scorers.hp_scorer import Answer
from hpedit.scorers.openai_backend import OpenAIBackend
from hpedit.scorers.transformers_backend import TransformersBackend
from hpedit.tasks import TASKS
from tests.support.scripted_vlm import ScriptedBackend, ScriptedServer, good_reply, reply, task_asked


@pytest.fixture(scope="module")
def vlm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_qwen2_5_vl(tmp_path_factory.mktemp("vlm"))


def photo(number: int, **more: object) -> Photo:
    pixels = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).resize((96, 72)).save(out, "PNG")
    known = Photo(
        f"set/{number:04d}.png",
        Picture(out.getvalue()),
        96,
        72,
        "",
        0,
        Provenance("set", str(number), "CC0"),
        categories=("dog", "door"),
    )
    return replace(known, **more)  # type: ignore[arg-type]


def stage(says: Callable[[str], str | Answer], **settings: object) -> tuple[Annotate, ScriptedBackend]:
    backend = ScriptedBackend(says)
    return Annotate(InstructionWriter(backend), **settings), backend  # type: ignore[arg-type]


def cases(outcome: Outcome[Case]) -> list[Case]:
    assert not isinstance(outcome, Failure), outcome
    return list(outcome)


def tasks_by_photo(outcomes: Sequence[Outcome[Case]]) -> list[list[str]]:
    return [[case.task for case in cases(outcome)] for outcome in outcomes]


def test_a_photo_becomes_as_many_cases_as_asked_each_of_another_task():
    annotate, _ = stage(good_reply, per_photo=3)
    for outcome in annotate.open()([photo(i) for i in range(20)]):
        made = cases(outcome)
        assert len({case.task for case in made}) == len({case.case_id for case in made}) == 3
        for case in made:
            assert case.categories == ("dog", "door")
            assert case.provenance.license == "CC0"
            assert case.instruction_lang == "en"
            assert case.source.decode().size == (96, 72)


def test_what_is_asked_hangs_on_the_photo_not_on_its_place():
    photos = [photo(i) for i in range(12)]
    annotate, backend = stage(good_reply, per_photo=2, chinese=0.5)
    together = annotate.open()(photos)
    asked = Counter(backend.asked)
    alone, other = stage(good_reply, per_photo=2, chinese=0.5)
    assert [alone.open()([p])[0] for p in reversed(photos)] == together[::-1]
    assert Counter(other.asked) == asked


def test_all_tasks_and_both_languages_come_up():
    annotate, _ = stage(good_reply, per_photo=3, chinese=0.4)
    outcomes = annotate.open()([photo(i) for i in range(120)])
    counts = Counter(task for tasks in tasks_by_photo(outcomes) for task in tasks)
    assert set(counts) == set(TASKS)
    assert min(counts.values()) > 120 * 3 / 8 * 0.6
    languages = Counter(case.instruction_lang for outcome in outcomes for case in cases(outcome))
    assert 0.3 < languages["zh"] / 360 < 0.5


def test_another_seed_asks_otherwise():
    photos = [photo(i) for i in range(10)]
    first, second = (tasks_by_photo(stage(good_reply, seed=s)[0].open()(photos)) for s in (0, 1))
    assert first != second


def test_a_task_that_does_not_fit_is_replaced_until_the_tasks_run_out():
    def picky(text: str) -> str:
        fits = task_asked(text) in ("bokeh", "relighting")
        return good_reply(text) if fits else reply("", fits=False)

    annotate, backend = stage(picky, per_photo=2)
    photos = [photo(i) for i in range(6)]
    assert all(sorted(tasks) == ["bokeh", "relighting"] for tasks in tasks_by_photo(annotate.open()(photos)))
    assert backend.batches[0] == 12  # all photos of a batch at once
    assert len(backend.asked) <= 6 * 8


def test_a_photo_that_nothing_fits_is_left_out():
    annotate, backend = stage(lambda text: reply("", fits=False))
    assert annotate.open()([photo(0)]) == [[]]
    assert len(backend.asked) == 8


def test_nonsense_is_asked_again_with_what_was_wrong():
    def forgetful(text: str) -> str:
        if "cannot be used" in text:
            assert "speaks of" in text
            assert "image A" in text.split("Your last reply was")[1]
            return good_reply(text)
        return reply("Blur, add, remove, turn the colour and light of image A.")

    annotate, backend = stage(forgetful, per_photo=1, tasks=("bokeh",))
    assert [case.instruction for case in cases(annotate.open()([photo(0)])[0])] == [
        "Keep the dog sharp and blur the trees behind it."
    ]
    assert len(backend.asked) == 2


def test_nothing_but_nonsense_is_a_failure_with_its_reason_after_one_retry():
    annotate, backend = stage(lambda text: "I am a teapot.", per_photo=2, tasks=("bokeh", "relighting"))
    first, second = annotate.open()([photo(0), photo(1)])
    assert isinstance(first, Failure)
    assert "no instruction that can be used: the reply holds no complete JSON object" in first.reason
    assert first == second
    assert len(backend.asked) == 8  # two photos, two tasks, twice


def test_nonsense_for_one_task_leaves_the_others():
    def half(text: str) -> str:
        return "no" if task_asked(text) == "bokeh" else good_reply(text)

    annotate, _ = stage(half, per_photo=2, tasks=("bokeh", "relighting", "color_change"))
    outcomes = annotate.open()([photo(i) for i in range(5)])
    assert all(sorted(tasks) == ["color_change", "relighting"] for tasks in tasks_by_photo(outcomes))


def test_a_photo_without_a_reply_fails_whole_so_that_a_retry_finds_it_whole():
    def shaky(text: str) -> str | Answer:
        return Answer(failure="503: overloaded") if task_asked(text) == "bokeh" else good_reply(text)

    annotate, _ = stage(shaky, per_photo=2, tasks=("bokeh", "relighting"))
    assert annotate.open()([photo(0)]) == [Failure("503: overloaded")]


def test_one_instruction_is_not_taken_for_two_tasks():
    annotate, _ = stage(
        lambda text: reply("Blur the light and paint it in another colour."),
        per_photo=3,
        tasks=("bokeh", "relighting", "color_change"),
    )
    assert len(cases(annotate.open()([photo(0)])[0])) == 1


def test_an_edit_that_came_with_its_task_asks_nobody():
    annotate, backend = stage(good_reply)
    given = photo(
        3,
        task="color_change",
        instruction="Make it blue!",
        instruction_lang="en",
        target=photo(4).image,
        ratings=(Rating("viescore", 3.5),),
    )
    [case] = cases(annotate.open()([given])[0])
    assert (case.case_id, case.task, case.instruction) == (
        "set/0003.png-color_change",
        "color_change",
        "Make it blue!",
    )
    assert case.target == photo(4).image
    assert case.scores == (ScoreRecord("target", "viescore", read="given", value=3.5),)
    assert not backend.asked


def test_an_edit_of_an_unknown_task_is_sorted_and_one_of_none_is_left_out():
    def sorter(text: str) -> str:
        assert not task_asked(text)
        return json.dumps({"task": "object_removal" if "hat" in text else "none"})

    annotate, backend = stage(sorter)
    edits = [photo(0, instruction="no hat please"), photo(1, instruction="rotate by 90 degrees")]
    first, second = annotate.open()(edits)
    assert [(c.task, c.instruction) for c in cases(first)] == [("object_removal", "no hat please")]
    assert second == []
    assert backend.batches == [2]


def test_an_edit_whose_task_the_vlm_cannot_tell_fails():
    annotate, _ = stage(lambda text: '{"task": "juggling"}')
    assert annotate.open()([photo(0, instruction="juggle")]) == [
        Failure('the VLM named no task: "task" is none of the names given')
    ]


def test_a_task_that_the_source_names_is_the_only_one_asked_for():
    annotate, _ = stage(good_reply)
    assert tasks_by_photo(annotate.open()([photo(0, task="bokeh")])) == [["bokeh"]]


def test_edits_of_tasks_that_are_not_asked_for_are_left_out():
    annotate, backend = stage(good_reply, tasks=("bokeh",))
    edits = [photo(0, task="relighting", instruction="Light it."), photo(1, task="relighting")]
    assert annotate.open()(edits) == [[], []]
    assert not backend.asked


def test_a_damaged_photo_fails_alone():
    annotate, _ = stage(good_reply, per_photo=1)
    bad = photo(0, image=Picture(b"nothing"))
    outcomes = annotate.open()([photo(1), bad, photo(2), replace(bad, instruction="Do it.")])
    assert [isinstance(o, Failure) for o in outcomes] == [False, True, False, True]


def test_the_vlm_sees_the_photo_no_larger_than_asked():
    writer = InstructionWriter(ScriptedBackend(good_reply), max_side=48)
    assert tuple(writer.shown(photo(0).image.decode()).shape) == (3, 36, 48)
    assert tuple(InstructionWriter(ScriptedBackend(good_reply)).shown(photo(0).image.decode()).shape) == (
        3,
        72,
        96,
    )


@pytest.mark.parametrize("takes_schema", [True, False])
def test_a_server_writes_with_a_schema_where_it_takes_one(vlm: Path, takes_schema: bool):
    with ScriptedServer(vlm, good_reply_or_probe, takes_schema) as server:
        backend = OpenAIBackend(server.url, "tiny-judge", max_tokens=256, retries=0)
        annotate = Annotate(InstructionWriter(backend), per_photo=2)
        annotate.check()
        outcomes = annotate.open()([photo(i) for i in range(3)])
    assert [len(cases(o)) for o in outcomes] == [2, 2, 2]
    questions = [chat for chat in server.chats if "Task: " in json.dumps(chat)]
    assert len(questions) == 6
    for body in questions:
        assert body["max_tokens"] == 256
        assert body["temperature"] == 0.0
        assert ("response_format" in body) is takes_schema
        if takes_schema:
            held = body["response_format"]["json_schema"]
            assert (held["strict"], list(held["schema"]["properties"])) == (
                True,
                ["seen", "fits", "instruction"],
            )


def good_reply_or_probe(text: str) -> str:
    return good_reply(text) if task_asked(text) else "{}"


def test_a_server_that_goes_away_fails_its_photos_in_its_own_words(vlm: Path):
    with ScriptedServer(vlm, good_reply_or_probe) as server:
        backend = OpenAIBackend(server.url, "tiny-judge", max_tokens=256, retries=0)
        work = Annotate(InstructionWriter(backend), per_photo=1).open()
        work([photo(0)])
        server.behaviour.fail_every = 1
        server.says = lambda text: pytest.fail("asked a dead server")
        [outcome] = work([photo(1)])
    assert isinstance(outcome, Failure)
    assert "500" in outcome.reason


def test_a_server_that_is_not_there_stops_the_build_before_it_begins():
    backend = OpenAIBackend("http://127.0.0.1:9/v1", "m", max_tokens=256, retries=0, timeout=5)
    with pytest.raises(ConnectionError, match="base_url"):
        Annotate(InstructionWriter(backend)).check()


def test_a_checked_stage_still_travels_to_workers(vlm: Path):
    from daft.pickle import cloudpickle

    with ScriptedServer(vlm, good_reply_or_probe) as server:
        annotate = Annotate(InstructionWriter(OpenAIBackend(server.url, "tiny-judge", max_tokens=256)))
        annotate.check()
        there = cloudpickle.loads(cloudpickle.dumps(annotate))
        assert len(cases(there.open()([photo(0)])[0])) == 3


def test_a_random_vlm_in_the_process_fails_every_photo_and_breaks_nothing(vlm: Path):
    backend = TransformersBackend(str(vlm), dtype="float32", device="cpu", max_tokens=64)
    annotate = Annotate(InstructionWriter(backend, max_side=56), per_photo=1, tasks=("bokeh",))
    [outcome] = annotate.open()([photo(0)])
    assert isinstance(outcome, Failure)
    assert "no complete JSON object" in outcome.reason


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"tasks": ("blur",)}, "annotate.tasks: expected tasks of .*got 'blur'"),
        ({"tasks": ()}, "annotate.tasks: .*got 'none'"),
        ({"per_photo": 0}, "annotate.per_photo: expected at least 1, got 0"),
        ({"chinese": 1.5}, r"annotate.chinese: expected a share in \[0, 1\], got 1.5"),
    ],
)
def test_impossible_settings_are_named(wrong: dict, words: str):
    with pytest.raises(ValueError, match=words):
        stage(good_reply, **wrong)


def test_a_judges_backend_is_refused_because_its_replies_are_too_short():
    with pytest.raises(ValueError, match=r"writer\.backend\.max_tokens: expected at least 64 .*got 8"):
        InstructionWriter(OpenAIBackend("http://127.0.0.1:9/v1", "m"))


def test_without_a_vlm_only_edits_that_came_with_instruction_and_task_become_cases():
    annotate = Annotate(None, tasks=("bokeh", "relighting"))
    annotate.check()
    given = photo(0, task="bokeh", instruction="blur the background", instruction_lang="en")
    nameless, bare = photo(1, instruction="do something"), photo(2)
    other = photo(3, task="color_change", instruction="paint the door red")
    first, *rest = annotate.open()([given, nameless, bare, other])
    assert [(c.task, c.instruction) for c in cases(first)] == [("bokeh", "blur the background")]
    assert rest == [[], [], []]
