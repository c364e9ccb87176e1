"""Raters at work, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from hpedit.commands.rate import export
from hpedit.rating.deck import Deck, cases_by_id
from hpedit.rating.desk import Desk
from hpedit.rating.order import Plan
from hpedit.rating.store import Ratings
from hpedit.records import read_cases, write_cases
from tests.rating.served import TOKEN, Served
from tests.rating.support import MODELS, make_desk, prompts, rated_case

LOOK = 270  # milliseconds; the page takes a key that comes sooner for one that was meant for the item before
Serve = Callable[[Desk], Served]
Visit = Callable[[str], Page]


def begin(page: Page, name: str) -> None:
    page.get_by_label("Your name").fill(name)
    page.keyboard.press("Enter")
    expect(page.locator("#desk")).to_be_visible()


def done(page: Page, count: int) -> None:
    expect(page.locator("#count")).to_have_text(f"{count} of 21")


def press(page: Page, *keys: str) -> None:
    """Press keys as a person would, who looks first; each is an answer."""
    for key in keys:
        count, _, total = page.locator("#count").inner_text().split()
        page.wait_for_timeout(LOOK)
        page.keyboard.press(key)
        expect(page.locator("#count")).to_have_text(f"{int(count) + 1} of {total}")


def values(desk: Desk, rater: str) -> list[str]:
    return [a.value for a in desk.ratings.answers(desk.deck.mode) if a.rater == rater]


def test_two_raters_rate_by_keyboard_undo_reload_and_come_back(tmp_path: Path, serve: Serve, visit: Visit):
    desk = make_desk(tmp_path)
    served = serve(desk)
    ann, bob = visit(served.link), visit(served.link)
    assert TOKEN not in ann.url
    begin(ann, "Ann")
    begin(bob, "Bob")
    press(ann, *"01234")
    press(bob, *"543")
    press(ann, *"5f32")
    assert values(desk, "ann") == [*"012345", "broken", *"32"]
    instruction = ann.locator("#instruction").inner_text()

    press(ann, "4")
    ann.keyboard.press("z")
    done(ann, 9)
    expect(ann.locator("#instruction")).to_have_text(instruction)
    expect(ann.locator("#note")).to_have_text("taken back: 4")
    assert values(desk, "ann") == [*"012345", "broken", *"32"]

    ann.reload()
    done(ann, 9)
    expect(ann.locator("#instruction")).to_have_text(instruction)
    press(ann, "1")

    elsewhere = visit(served.link)
    begin(elsewhere, " ANN ")
    done(elsewhere, 10)
    assert len(values(desk, "ann")) == 10
    assert len(values(desk, "bob")) == 3

    owner = visit(served.link.replace("/?", "/agreement?"))
    expect(owner.locator("tbody tr")).to_have_count(2)
    expect(owner.locator("tbody th")).to_have_text(["ann", "bob"])

    data = tmp_path / "cases.parquet"
    write_cases(data, (rated_case(n) for n in range(6)))
    export(str(data), str(tmp_path / "r.sqlite"), str(tmp_path / "out"))
    humans = [h for case in read_cases(str(tmp_path / "out" / "cases.parquet")) for h in case.humans]
    firsts = [a for a in desk.ratings.answers("score") if a.kind == "first" and a.value != "broken"]
    assert sorted((h.rater, h.value) for h in humans) == sorted((a.rater, float(a.value)) for a in firsts)

    assert len(served.tape.sent) > 100_000
    assert not [m for m in (*MODELS, "mini-") if m.encode() in served.tape.sent]


def test_votes_are_given_by_arrows_and_the_last_page_says_so(tmp_path: Path, serve: Serve, visit: Visit):
    desk = make_desk(tmp_path, "vote", cases=4)  # 12 pairs, a repeat, a sanity item
    page = visit(serve(desk).link)
    begin(page, "ann")
    expect(page.locator("figcaption b")).to_have_text(["Left", "Before", "Right"])
    press(page, "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "1", "4", "2", "3", "t", "b")
    assert values(desk, "ann") == ["left", "right", "tie", "both_bad"] * 2 + ["tie", "both_bad"]
    press(page, *"111")
    page.wait_for_timeout(LOOK)
    page.get_by_role("button", name="Equally good").click()
    expect(page.locator("#end")).to_be_visible()
    page.keyboard.press("z")
    expect(page.locator("#desk")).to_be_visible()
    assert len(values(desk, "ann")) == 13


def boxes(page: Page) -> list[dict]:
    places = "header, #instruction, .frame, #answers, #answers button, .tools > button"
    return page.locator(places).evaluate_all("all => all.map(e => e.getBoundingClientRect().toJSON())")


def shift(picture: Locator) -> list[float]:
    """How a picture is zoomed and moved; panes may differ by a fraction of a pixel in width."""
    rule = picture.evaluate("e => getComputedStyle(e).transform")
    return [round(float(x), 1) for x in rule.removeprefix("matrix(").removesuffix(")").split(",")]


def test_before_and_after_flicker_in_place_and_zoom_as_one(tmp_path: Path, serve: Serve, visit: Visit):
    page = visit(serve(make_desk(tmp_path)).link)
    begin(page, "ann")
    before, after, under = (
        page.locator(f"figure .frame img{c}") for c in (":only-child", ".over >> nth=1", ".under")
    )
    page.keyboard.press("Space")
    expect(under).to_be_visible()
    expect(after).not_to_be_visible()
    assert under.bounding_box() == after.bounding_box()
    page.keyboard.press("Space")
    expect(after).to_be_visible()

    before.hover(position={"x": 100, "y": 50})
    page.mouse.wheel(0, -400)
    expect(page.locator("#panes")).to_have_class("zoomed")
    zoomed = shift(before)
    assert shift(after) == shift(under) == zoomed
    assert zoomed[0] == zoomed[3] > 1.5
    page.mouse.down()
    page.mouse.move(260, 300, steps=3)
    page.mouse.up()
    assert shift(before) == shift(after) != zoomed
    page.keyboard.press("Escape")
    expect(page.locator("#panes")).not_to_have_class("zoomed")

    page.mouse.down()
    expect(page.locator("#panes")).to_have_class("zoomed")
    page.mouse.up()
    expect(page.locator("#panes")).not_to_have_class("zoomed")


def test_nothing_moves_from_one_item_to_the_next(tmp_path: Path, serve: Serve, visit: Visit):
    page = visit(serve(make_desk(tmp_path)).link)
    begin(page, "ann")
    tops = [(round(b["x"]), round(b["y"])) for b in boxes(page)]
    for _ in range(3):
        press(page, "3")
        assert [(round(b["x"]), round(b["y"])) for b in boxes(page)] == tops
    assert max(b["bottom"] for b in boxes(page)) <= 800
    assert page.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]") == [
        1280,
        800,
    ]


def test_a_long_instruction_is_seen_whole_and_everything_keeps_its_place(
    tmp_path: Path, serve: Serve, visit: Visit
):
    words = "Make the square red and leave everything else as it was, please. " * 5
    source = rated_case(1).source
    case = replace(rated_case(0), instruction=words, requirement="keep the light", references=(source,))
    ratings = Ratings(tmp_path / "r.sqlite")
    deck = Deck(cases_by_id([case]), "score", Plan(), prompts(), ratings.secret())
    page = visit(serve(Desk(deck, ratings)).link)
    begin(page, "a rater with a name of forty characters.")
    expect(page.locator("#requirement")).to_be_visible()
    seen = "e => [e.scrollHeight <= e.clientHeight, e.scrollWidth <= e.clientWidth]"
    assert page.locator("#words").evaluate(seen) == [True, True]
    assert page.locator("html").evaluate(seen) == [True, True]
    page.keyboard.press("r")
    expect(page.locator("figcaption").first).to_have_text("Rreference 1 of 1")


def test_an_answer_that_did_not_arrive_is_told_and_given_again(tmp_path: Path, serve: Serve, visit: Visit):
    desk = make_desk(tmp_path)
    page = visit(serve(desk).link)
    begin(page, "ann")
    shown = page.locator("#instruction").inner_text()
    page.route("**/api/answer", lambda route: route.abort())
    page.wait_for_timeout(LOOK)
    page.keyboard.press("4")
    expect(page.get_by_role("alert")).to_contain_text("not saved")
    expect(page.locator("#instruction")).to_have_text(shown)
    assert values(desk, "ann") == []
    page.unroute("**/api/answer")
    press(page, "4")
    expect(page.get_by_role("alert")).not_to_be_visible()
    assert values(desk, "ann") == ["4"]
