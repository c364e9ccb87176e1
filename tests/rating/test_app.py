"""The application over HTTP, as the page talks to it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from hpedit.pictures import Picture
from hpedit.rating.app import make_app
from hpedit.rating.deck import Deck, cases_by_id
from hpedit.rating.desk import Desk
from hpedit.rating.door import own_names
from hpedit.rating.order import Plan
from hpedit.rating.store import Ratings
from tests.rating.support import MODELS, make_desk, prompts, rated_case

FORM = {"ms": 800, "screen": "1280x800@1.5"}


def client_of(desk: Desk) -> TestClient:
    return TestClient(make_app(desk, None, own_names("127.0.0.1", None)), base_url="http://localhost")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return make_desk(tmp_path)


@pytest.fixture
def client(desk: Desk) -> TestClient:
    return client_of(desk)


def ask(client: TestClient, what: str, **told: Any) -> dict[str, Any]:
    answer = client.post(f"/api/{what}", json={"rater": "ann", **told})
    return answer.json() if answer.status_code == 200 else {"refused": answer.text}


def rate(client: TestClient, state: dict[str, Any], value: str, **told: Any) -> dict[str, Any]:
    return ask(client, "answer", item=state["items"][0]["id"], value=value, **FORM, **told)


def test_answers_are_stored_with_how_they_came_about(desk: Desk, client: TestClient):
    state = rate(client, ask(client, "state"), "4")
    assert (state["done"], state["total"]) == (1, 21)  # 18 edits, 2 repeats, 1 sanity item
    (answer,) = desk.ratings.answers("score")
    slot = desk.deck.deal("ann").slots[0]
    assert (answer.rater, answer.case_id, answer.left, answer.kind) == (
        "ann",
        slot.case_id,
        *slot.shown,
        slot.kind,
    )
    assert (answer.value, answer.ms, answer.screen, answer.place) == ("4", 800, "1280x800@1.5", 0)
    assert answer.app
    assert answer.prompt == desk.deck.prompt(slot).version


def test_a_rater_goes_on_after_a_restart_and_others_begin_at_the_beginning(tmp_path: Path):
    before = client_of(make_desk(tmp_path))
    state = rate(before, rate(before, ask(before, "state"), "1"), "2")
    after = client_of(make_desk(tmp_path))
    assert ask(after, "state", rater="  ANN ") == state
    assert ask(after, "state", rater="bob")["done"] == 0


def test_undo_brings_the_item_back(client: TestClient):
    first = ask(client, "state")
    rate(client, rate(client, first, "1"), "2")
    assert ask(client, "undo")["undone"] == "2"
    again = ask(client, "undo")
    assert again["undone"] == "1"
    assert again["items"] == first["items"]
    assert ask(client, "undo")["undone"] is None


def test_the_end_is_reached_with_every_item_answered(client: TestClient, desk: Desk):
    state = ask(client, "state")
    while state["items"]:
        state = rate(client, state, "3")
    assert state["done"] == state["total"] == len(desk.ratings.answers("score")) == 21


def test_an_answer_sent_twice_counts_once(client: TestClient, desk: Desk):
    state = ask(client, "state")
    assert rate(client, state, "4") == rate(client, state, "1")
    assert [a.value for a in desk.ratings.answers("score")] == ["4"]


@pytest.mark.parametrize(
    "wrong",
    [
        *({"value": v} for v in ("6", "-1", "4.5", "", "left", 4, None, True, ["4"])),
        *({"ms": v} for v in (-1, 1.5, "800", None, True, 1e400)),
        *({"screen": v} for v in ("", "big", "1x1", "1x1@1<b>", None, 5)),
        *({"item": v} for v in ("0" * 32, "", None, 7, ["x"], {"a": 1})),
        *({"rater": v} for v in ("", "   ", "x" * 41, None, 5, "a\x00b", "a\u202eb")),
    ],
    ids=str,
)
def test_nonsense_is_refused_with_the_reason_and_not_stored(client: TestClient, desk: Desk, wrong: dict):
    item = ask(client, "state")["items"][0]["id"]
    told = {"rater": "ann", "item": item, "value": "4", **FORM, **wrong}
    # By hand: the client's own encoder refuses to send an infinity.
    content = json.dumps(told)
    answer = client.post("/api/answer", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert next(iter(wrong)) in answer.text
    assert desk.ratings.answers("score") == []


@pytest.mark.parametrize("content", ["", "[]", "7", "{", '{"rater": "ann"}' + " " * 5000, "\xff", "[" * 3000])
def test_what_is_no_small_json_object_is_refused(client: TestClient, content: str):
    body = content.encode("latin-1")
    answer = client.post("/api/state", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400


def test_one_raters_items_are_not_anothers(client: TestClient, desk: Desk):
    item = ask(client, "state")["items"][0]["id"]
    ask(client, "state", rater="bob")
    assert "item" in ask(client, "answer", rater="bob", item=item, value="4", **FORM)["refused"]
    assert desk.ratings.answers("score") == []


def test_pictures_come_pixel_for_pixel_and_without_their_makers_name(client: TestClient, desk: Desk):
    slot = desk.deck.deal("ann").slots[0]
    (name,) = ask(client, "state")["items"][0]["edits"]
    answer = client.get(f"/picture/{name}")
    assert answer.headers["content-type"] == "image/png"
    candidates = {c.cand_id: c.image for c in desk.deck.cases[slot.case_id].candidates}
    shown = candidates[slot.shown[0]]
    assert MODELS[0].encode() in candidates[f"{MODELS[0]}-{slot.case_id.rpartition('-')[2]}"].read()
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(answer.content))), np.asarray(shown.decode()))
    assert not [model for model in MODELS if model.encode() in answer.content]


def test_a_damaged_picture_is_no_crash_and_can_be_flagged(tmp_path: Path):
    case = rated_case(0, candidates=1)
    (good,) = case.candidates
    broken = type(good)(good.cand_id, Picture(good.image.read()[:200]))
    ratings = Ratings(tmp_path / "r.sqlite")
    cases = cases_by_id([type(case)(**{**vars(case), "candidates": (broken,)})])
    client = client_of(Desk(Deck(cases, "score", Plan(sanity=0), prompts(), ratings.secret()), ratings))
    state = ask(client, "state")
    assert client.get(f"/picture/{state['items'][0]['edits'][0]}").status_code == 404
    assert rate(client, state, "broken")["items"] == []
    assert ratings.answers("score")[0].score is None


def test_votes_have_their_own_answers_and_their_own_progress(tmp_path: Path):
    scores, votes = client_of(make_desk(tmp_path)), client_of(make_desk(tmp_path, "vote"))
    rate(scores, ask(scores, "state"), "4")
    state = ask(votes, "state")
    assert (state["done"], len(state["items"][0]["edits"])) == (0, 2)
    assert "value" in rate(votes, state, "4")["refused"]
    for value in ("left", "right", "tie", "both_bad", "broken"):
        state = rate(votes, state, value)
    assert state["done"] == 5
    assert ask(votes, "undo")["undone"] == "broken"


def test_the_agreement_page_has_its_figures(client: TestClient):
    for rater in ("ann", "bob"):
        rate(client, ask(client, "state", rater=rater), "4", rater=rater)
    assert client.get("/agreement").status_code == 200
    told = client.get("/api/agreement").json()
    assert [(row["rater"], row["answers"]) for row in told["raters"]] == [("ann", 1), ("bob", 1)]


def test_the_raters_page_does_not_tell_of_the_agreement_page(client: TestClient):
    for path in ("/", "/rate.js", "/panes.js", "/rate.css"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert "agreement" not in answer.text
