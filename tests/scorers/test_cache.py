"""What was scored once is found again; what is not the same, or could not be had, is asked for."""

import math
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hpedit.scorers.base import Score, Scorer, ScoreRequest, Sleeper
from hpedit.scorers.cache import CachedScorer, cache_key
from hpedit.scorers.hp_scorer import Answer, HPScorer
from hpedit.scorers.prompts import Message, dump_prompt, load_prompts
from hpedit.scorers.score_map import AffineMap
from tests.support.scorers import BrightnessScorer

PICTURE = torch.arange(3 * 4 * 6, dtype=torch.uint8).reshape(3, 4, 6)
REQUEST = ScoreRequest("case-1", "bokeh", "Blur it", "softly", (PICTURE,), PICTURE + 1)


class Named(BrightnessScorer):
    """Brightness, with a name, and the requests that reached it."""

    def __init__(self, name: str = "brightness", failing: tuple[str, ...] = ()) -> None:
        super().__init__(failing)
        self.name = name
        self.asked: list[ScoreRequest] = []

    def identity(self, request: ScoreRequest) -> str:
        return self.name

    def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        self.asked += requests
        return [
            replace(score, probabilities=(0.1, 0.2, 0.3, 0.1, 0.1, 0.2)) for score in super().score(requests)
        ]


class Fixed:
    """A backend that gives every chat the same distribution."""

    def __init__(self, name: str = "model-a") -> None:
        self.name = name
        self.chats = 0

    def check(self) -> None:
        pass

    def identity(self) -> str:
        return self.name

    def answer(self, chats: Sequence[list[Message]], generate: bool) -> list[Answer]:
        self.chats += len(chats)
        return [Answer(logprobs=(math.log(1 / 6),) * 6)] * len(chats)


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(tmp_path / "cache" / "scores.sqlite")


def test_a_second_run_asks_nothing_and_gets_the_same(file: str) -> None:
    first, second = Named(), Named()
    requests = [REQUEST, replace(REQUEST, edit=PICTURE + 9)]
    fresh = CachedScorer(first, file).score(requests)
    cached = CachedScorer(second, file).score(requests)
    assert cached == fresh == Named().score(requests)
    assert len(first.asked) == 2
    assert second.asked == []


def test_a_score_says_whether_the_file_had_it(file: str) -> None:
    other, mute = replace(REQUEST, edit=PICTURE + 9), replace(REQUEST, task="relighting")
    cached = CachedScorer(Named(failing=("relighting",)), file)
    assert [score.cached for score in cached.score([REQUEST, mute])] == [False, False]
    assert [score.cached for score in cached.score([REQUEST, other, mute])] == [True, False, False]
    assert [score.cached for score in Named().score([REQUEST])] == [None]


def test_it_is_a_scorer_that_checks_and_rests_as_the_one_behind_it(file: str) -> None:
    events: list[str] = []

    class Sleepy(Named):
        def check(self) -> None:
            events.append("check")

        def wake(self) -> None:
            events.append("wake")

        def sleep(self) -> None:
            events.append("sleep")

    cached = CachedScorer(Sleepy(), file)
    assert isinstance(cached, Scorer)
    assert isinstance(cached, Sleeper)
    cached.check()
    cached.wake()
    cached.sleep()
    assert events == ["check", "wake", "sleep"]
    CachedScorer(Named(), file).sleep()  # one that cannot is left alone
    assert cached.identity(REQUEST) == "brightness"
    assert pickle.loads(pickle.dumps(CachedScorer(Named(), file))).score([REQUEST])


def test_the_same_edit_twice_in_a_batch_is_asked_for_once(file: str) -> None:
    scorer = Named()
    cached = CachedScorer(scorer, file)
    one, two = cached.score([REQUEST, replace(REQUEST, case_id="another case")])
    assert one == two
    assert len(scorer.asked) == 1
    assert cached.score([]) == []


def test_a_missing_score_is_asked_for_again(file: str) -> None:
    assert math.isnan(CachedScorer(Named(failing=("bokeh",)), file).score([REQUEST])[0].value)
    scorer = Named()
    [score] = CachedScorer(scorer, file).score([REQUEST])
    assert scorer.asked == [REQUEST]
    assert not math.isnan(score.value)


@pytest.mark.parametrize(
    "other",
    [
        replace(REQUEST, instruction="Blur it "),
        replace(REQUEST, instruction="Blur itsoftly", requirement=""),
        replace(REQUEST, requirement=""),
        replace(REQUEST, task="relighting"),
        replace(REQUEST, edit=PICTURE),
        replace(REQUEST, edit=(PICTURE + 1).reshape(3, 6, 4)),
        replace(REQUEST, sources=(PICTURE, PICTURE)),
        replace(REQUEST, sources=(PICTURE + 1,), edit=PICTURE),
        replace(REQUEST, target=PICTURE),
        replace(REQUEST, sources=(PICTURE, PICTURE + 1), edit=PICTURE + 2),
    ],
)
def test_another_picture_text_or_task_is_another_key(other: ScoreRequest) -> None:
    assert cache_key("x", other) != cache_key("x", REQUEST)
    assert cache_key("y", REQUEST) != cache_key("x", REQUEST)


def test_the_case_and_the_memory_layout_do_not_matter() -> None:
    turned = PICTURE.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    assert cache_key("x", replace(REQUEST, case_id="case-2", sources=(turned,))) == cache_key("x", REQUEST)


@given(st.text(), st.text(), st.text(), st.text())
def test_texts_never_run_together(a: str, b: str, c: str, d: str) -> None:
    keys = {cache_key("x", replace(REQUEST, instruction=i, requirement=r)) for i, r in {(a, b), (c, d)}}
    assert len(keys) == len({(a, b), (c, d)})


def test_model_prompt_map_and_reading_are_part_of_the_key(tmp_path: Path, file: str) -> None:
    def chats(changes: dict[str, object], name: str = "model-a", **settings: object) -> int:
        folder = tmp_path / "prompts"
        folder.mkdir(exist_ok=True)
        (folder / "bokeh.yaml").write_text(dump_prompt(replace(load_prompts()["bokeh"], **changes)))  # type: ignore[arg-type]
        backend = Fixed(name)
        CachedScorer(HPScorer(backend, str(folder), **settings), file).score([REQUEST])  # type: ignore[arg-type]
        return backend.chats

    assert chats({}) == 1
    assert chats({}) == 0
    assert chats({"provenance": "Told otherwise."}) == 0
    assert chats({"version": "77"}) == 1
    assert chats({"checks": ("Is it nice?",)}) == 1  # though nobody changed the version
    assert chats({"order": "images_first"}) == 1
    assert chats({"map": AffineMap(1.0, 0.5)}) == 1
    assert chats({}, name="model-b") == 1
    assert chats({}, read="argmax") == 1
    assert chats({}, min_mass=0.1) == 1
    assert chats({}) == 0


def test_a_scorer_that_cannot_name_itself_is_refused(file: str) -> None:
    with pytest.raises(ValueError, match="BrightnessScorer does not say"):
        CachedScorer(BrightnessScorer(), file)

    class Nameless:
        def check(self) -> None: ...

        def answer(self, chats: Sequence[list[Message]], generate: bool) -> list[Answer]:
            return []

    with pytest.raises(ValueError, match="Nameless does not say which model"):
        CachedScorer(HPScorer(Nameless()), file).score([REQUEST])


@pytest.mark.parametrize("content", [b"no database at all" * 400, b"SQLite format 3\x00" + b"\xff" * 4096])
def test_a_damaged_file_is_named(file: str, content: bytes) -> None:
    Path(file).parent.mkdir()
    Path(file).write_bytes(content)
    with pytest.raises(ValueError, match=r"cache: .*scores\.sqlite.*move it away"):
        CachedScorer(Named(), file).check()


def test_damage_inside_a_file_is_found_at_the_check(file: str) -> None:
    requests = [replace(REQUEST, instruction=f"{i}") for i in range(200)]
    CachedScorer(Named(), file).score(requests)
    with sqlite3.connect(file) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    raw = bytearray(Path(file).read_bytes())
    raw[8192:16384] = os.urandom(8192)
    Path(file).write_bytes(raw)
    with pytest.raises(ValueError, match=r"scores\.sqlite"):
        CachedScorer(Named(), file).check()


def test_a_foreign_database_is_left_alone(file: str) -> None:
    Path(file).parent.mkdir()
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE recipes (name TEXT)")
    database.close()
    with pytest.raises(ValueError, match="another kind of database"):
        CachedScorer(Named(), file).check()


def test_scores_that_cannot_be_kept_are_still_given(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cached = CachedScorer(Named(), file)
    cached.check()
    blocker = sqlite3.connect(file, isolation_level=None)
    monkeypatch.setattr("hpedit.scorers.cache._PATIENCE", 0.05)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.warns(UserWarning, match="scores are not kept: .*locked"):
        assert cached.score([REQUEST]) == Named().score([REQUEST])
    blocker.execute("ROLLBACK")
    blocker.close()
    assert CachedScorer(Named(), file).score([REQUEST]) == Named().score([REQUEST])


def test_threads_share_a_file(file: str) -> None:
    requests = [replace(REQUEST, instruction=f"{i}") for i in range(40)]
    cached = CachedScorer(Named(), file)
    results: list[list[Score]] = []
    threads = [threading.Thread(target=lambda: results.append(cached.score(requests))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [Named().score(requests)] * 8


WRITER = """
import sys
from dataclasses import replace
from itertools import count
from hpedit.scorers.cache import CachedScorer
from tests.scorers.test_cache import REQUEST, Named
first, last = int(sys.argv[2]), int(sys.argv[3])
cached = CachedScorer(Named(), sys.argv[1])
for i in range(first, last):
    cached.score([replace(REQUEST, instruction=str(i))])
    print(i, flush=True)
"""


def writer(file: str, first: int, last: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, file, str(first), str(last)]
    root = Path(__file__).parents[2]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root)


def test_two_processes_write_at_once_and_a_killed_one_costs_nothing(file: str) -> None:
    kept, killed = writer(file, 0, 60), writer(file, 40, 1_000_000)
    try:
        assert kept.wait(120) == 0
        assert killed.stdout is not None
        done = [int(killed.stdout.readline()) for _ in range(30)]
        time.sleep(0.05)
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    scorer = Named()
    cached = CachedScorer(scorer, file)
    cached.check()
    requests = [replace(REQUEST, instruction=str(i)) for i in sorted({*range(60), *done})]
    assert cached.score(requests) == Named().score(requests)
    assert scorer.asked == []
