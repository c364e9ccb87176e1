"""What raters are shown, and what they are not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hpedit.rating.deck import Deck, cases_by_id, open_slots
from hpedit.rating.order import SOURCE, Plan
from hpedit.tasks import TASKS
from tests.rating.support import MODELS, make_desk, prompts, rated_case


@pytest.mark.parametrize("mode", ["score", "vote"])
def test_an_item_names_no_model_candidate_or_case(tmp_path: Path, mode):
    deck = make_desk(tmp_path, mode, plan=Plan(repeats=0.5, sanity=1)).deck
    hand = deck.deal("ann")
    told = json.dumps([deck.item("ann", slot) for slot in hand.slots]) + "".join(hand.pictures)
    assert not [name for name in (*MODELS, "case-", "mini-", "sanity", "repeat") if name in told]


def test_no_address_tells_a_repeat_or_an_unchanged_picture(tmp_path: Path):
    deck = make_desk(tmp_path, plan=Plan(repeats=0.5, sanity=1)).deck
    items = [deck.item("ann", slot) for slot in deck.deal("ann").slots]
    addresses = [name for item in items for name in (item["id"], *item["sources"], *item["edits"])]
    assert len(set(addresses)) == len(addresses)
    assert set(items[0]) == set(items[-1])


def test_ids_are_the_raters_own_and_survive_a_restart(tmp_path: Path):
    once, again = (make_desk(tmp_path).deck.deal("ann").places for _ in range(2))
    assert once == again
    assert not set(once) & set(make_desk(tmp_path).deck.deal("bob").places)
    (tmp_path / "new").mkdir()
    assert not set(once) & set(make_desk(tmp_path / "new").deck.deal("ann").places)


def test_an_item_shows_the_case_and_its_tasks_scale_and_checks(tmp_path: Path):
    deck = make_desk(tmp_path, cases=8).deck
    for slot in deck.deal("ann").slots:
        case, item = deck.cases[slot.case_id], deck.item("ann", slot)
        prompt = prompts()[case.task]
        assert item["instruction"] == case.instruction
        assert (item["checks"], item["limits"]) == (prompt.checks, prompt.caps)
        assert item["anchors"] == {str(n): prompt.scale[n] for n in (0, 3, 5)}
    assert {deck.prompt(s).name for s in deck.deal("ann").slots} == set(TASKS)


def test_pictures_are_those_of_the_slot_and_a_sanity_items_edit_is_its_source(tmp_path: Path):
    deck = make_desk(tmp_path, plan=Plan(sanity=1)).deck
    hand = deck.deal("ann")
    for slot in hand.slots:
        case, item = deck.cases[slot.case_id], deck.item("ann", slot)
        images = {c.cand_id: c.image for c in case.candidates} | {SOURCE: case.source}
        assert [hand.pictures[name] for name in item["edits"]] == [images[c] for c in slot.shown]
        assert [hand.pictures[name] for name in item["sources"]] == [case.source]


def test_reference_pictures_are_shown_too(tmp_path: Path):
    other = rated_case(1).source
    case = replace(rated_case(0), references=(other,))
    deck = Deck(cases_by_id([case]), "score", Plan(sanity=0), prompts(), "00" * 32)
    hand = deck.deal("ann")
    assert [hand.pictures[n] for n in deck.item("ann", hand.slots[0])["sources"]] == [case.source, other]


def test_open_slots_are_the_first_without_an_answer(tmp_path: Path):
    hand = make_desk(tmp_path).deck.deal("ann")
    keys = [slot.key for slot in hand.slots]
    assert open_slots(hand, set(), 3) == hand.slots[:3]
    assert open_slots(hand, {keys[0], keys[2]}, 2) == [hand.slots[1], hand.slots[3]]
    assert open_slots(hand, set(keys), 3) == []


def test_data_that_cannot_be_rated_are_told():
    case = rated_case(0)
    with pytest.raises(ValueError, match=r"^data: wanted cases with ids of their own, found two of 'wonder"):
        cases_by_id([case, case])
    with pytest.raises(ValueError, match=r"^data: case wonder.*: wanted candidates with ids of their own"):
        cases_by_id([replace(case, candidates=case.candidates[:1] * 2)])
    with pytest.raises(ValueError, match=r"^data: wanted two candidates of a case to rate, found none in 1"):
        Deck(cases_by_id([rated_case(0, candidates=1)]), "vote", Plan(), prompts(), "00")
