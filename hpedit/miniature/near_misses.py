"""Near misses: edits that do almost what was asked, as post-trained editors fail.

FLAWS never draws the wrong shape in the right colour and place, a colour half way to another, or one soft spot in a
sharp picture; editors draw little else once they know where and what to change. A judge must tell them apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from hpedit.miniature.drawing import SHAPES, SIZE, TEXTURES, Picture, blur
from hpedit.miniature.examples import Example
from hpedit.miniature.scenes import (
    BACKDROPS,
    COLOURS,
    FOCUS_BLUR,
    LIGHTS,
    PLACES,
    SIDES,
    STYLES,
    Backdrop,
    Item,
    View,
    render,
)

Rng = np.random.Generator

_SPOT = 7.0  # sigma of what is mixed into one place, in pixels


def near_miss(example: Example, rng: Rng) -> Picture:
    """Draw an edit with one to three mistakes, each made in full or in part, and perhaps a spot that is off."""
    view, seen, picture = example.edit.after, example.target, example.target
    # Falling shares keep the sum a mixture of pictures, also where mistakes meet in one place.
    shares = np.minimum(rng.uniform(0, 1.6, size=int(rng.integers(1, 4))), 1)
    for share in np.sort(shares)[::-1]:
        view = mistake(view, example.edit.before, rng)
        before, seen = seen, render(view)
        picture = picture + share * (seen - before)
    return _spotted(picture, example.source, rng) if rng.random() < 0.4 else picture


def mistake(view: View, source: View, rng: Rng) -> View:
    """Take one thing in a view for another: the look asked of the whole picture, the backdrop, or an item."""
    if (view.focus, view.lighting, view.style) != (None, None, None) and rng.random() < 0.5:
        return _another_look(view, rng)
    if rng.random() < 0.1:
        return _another_backdrop(view, rng)
    items, free = view.scene.items, view.scene.free_places()
    if not items or (free and rng.random() < 0.1):
        item = Item(_one(SHAPES, rng), _one(COLOURS, rng), _one(free, rng))
        return replace(view, scene=replace(view.scene, items=(*items, item)))
    edited = [item for item in items if item not in source.scene.items]
    chosen = edited if edited and rng.random() < 0.6 else items
    return _another_item(view, chosen[int(rng.integers(len(chosen)))], rng)


def _another_item(view: View, item: Item, rng: Rng) -> View:
    """Give an item another shape or colour, or both, or leave it out."""
    what = rng.random()
    if what < 0.1 and item != view.focus:
        return replace(view, scene=view.scene.without(item))
    shape = _one(SHAPES, rng) if what < 0.7 else item.shape
    colour = _one(COLOURS, rng) if what > 0.5 else item.colour
    other = replace(item, shape=shape, colour=colour)
    focus = other if item == view.focus else view.focus
    return replace(view, scene=view.scene.exchange(item, other), focus=focus)


def _another_backdrop(view: View, rng: Rng) -> View:
    backdrop = Backdrop(_one(TEXTURES, rng), _one(BACKDROPS, rng))
    return replace(view, scene=replace(view.scene, backdrop=backdrop))


def _another_look(view: View, rng: Rng) -> View:
    if view.lighting is not None:
        return replace(view, lighting=(_one(SIDES, rng), _one(LIGHTS, rng)))
    if view.style is not None:
        return replace(view, style=_one(STYLES, rng))
    items = [None, *(item for item in view.scene.items if item != view.focus)]
    return replace(view, focus=items[int(rng.integers(len(items)))])


def _spotted(picture: Picture, source: Picture, rng: Rng) -> Picture:
    """Mix a softer picture, or the source, into one of the four places or into all but one."""
    x, y = PLACES[_one(PLACES, rng)]
    rows, columns = np.mgrid[0:SIZE, 0:SIZE]
    there = np.exp(-0.5 * ((columns - x) ** 2 + (rows - y) ** 2) ** 2 / (2 * _SPOT**4)).astype(np.float32)
    if rng.random() < 0.3:
        there = 1 - there
    mixed = source if rng.random() < 0.4 else blur(picture, float(rng.uniform(0.7, FOCUS_BLUR)))
    return picture + float(rng.uniform(0.2, 1)) * there * (mixed - picture)


def _one(names: Iterable[str], rng: Rng) -> str:
    return str(rng.choice(list(names)))
