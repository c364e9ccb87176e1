"""Scenes: one to three coloured shapes on a textured backdrop, and the looks a picture of them can have.

A View is the full recipe of a picture, small and hashable: two views are equal exactly when their pictures are
meant to be. Editing happens on recipes, so the edited picture is exact.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hpedit.miniature.drawing import (
    SHAPES,
    TEXTURES,
    Picture,
    blur,
    paint,
    ramp,
    shape_mask,
    texture_wave,
)

RGB = tuple[float, float, float]

COLOURS: dict[str, RGB] = {
    "red": (0.88, 0.12, 0.14),
    "yellow": (0.97, 0.88, 0.16),
    "green": (0.10, 0.62, 0.22),
    "blue": (0.13, 0.27, 0.88),
    "white": (0.98, 0.98, 0.98),
    "black": (0.06, 0.06, 0.08),
}
BACKDROPS: dict[str, RGB] = {
    "gray": (0.56, 0.56, 0.58),
    "sand": (0.78, 0.68, 0.48),
    "mint": (0.52, 0.78, 0.66),
    "sky": (0.46, 0.68, 0.84),
    "rose": (0.82, 0.54, 0.60),
    "brown": (0.50, 0.36, 0.28),
}
PLACES: dict[str, tuple[int, int]] = {
    "top left": (16, 16),
    "top right": (48, 16),
    "bottom left": (16, 48),
    "bottom right": (48, 48),
}
SIDES: tuple[str, ...] = ("left", "right", "top", "bottom")
LIGHTS: dict[str, RGB] = {"white": (1.0, 1.0, 1.0), "warm": (1.0, 0.80, 0.52), "cold": (0.56, 0.78, 1.0)}
STYLES: tuple[str, ...] = ("gray", "sepia", "negative", "blueprint", "faded")

CONTRAST = 0.17  # half the brightness range of a texture
RADIUS = 10.5  # of a shape, in pixels
FOCUS_BLUR = 4.5  # sigma of what is out of focus, in pixels


@dataclass(frozen=True)
class Item:
    """A shape in the scene."""

    shape: str
    colour: str
    place: str

    @property
    def name(self) -> str:
        return f"{self.colour} {self.shape}"


@dataclass(frozen=True)
class Backdrop:
    """A textured background."""

    texture: str
    colour: str


@dataclass(frozen=True)
class Scene:
    backdrop: Backdrop
    items: tuple[Item, ...]

    def without(self, item: Item) -> Scene:
        return replace(self, items=tuple(i for i in self.items if i != item))

    def exchange(self, old: Item, new: Item) -> Scene:
        return replace(self, items=tuple(new if i == old else i for i in self.items))

    def free_places(self) -> list[str]:
        taken = {i.place for i in self.items}
        return [p for p in PLACES if p not in taken]


@dataclass(frozen=True)
class View:
    """A picture's recipe: a scene, the item in focus (None: all sharp), (side, light) and style (None: as it is)."""

    scene: Scene
    focus: Item | None = None
    lighting: tuple[str, str] | None = None
    style: str | None = None


def random_scene(rng: np.random.Generator, min_items: int = 1, plain: bool = True) -> Scene:
    """Draw a scene of ``min_items`` to three shapes, all of different shape and colour; ``plain`` allows no texture."""
    number = int(rng.integers(min_items, 4))
    shapes = rng.choice(SHAPES, number, replace=False)
    colours = rng.choice(list(COLOURS), number, replace=False)
    places = rng.choice(list(PLACES), number, replace=False)
    items = tuple(Item(str(s), str(c), str(p)) for s, c, p in zip(shapes, colours, places, strict=True))
    texture = str(rng.choice(TEXTURES if plain else TEXTURES[1:]))
    return Scene(Backdrop(texture, str(rng.choice(list(BACKDROPS)))), items)


def render(view: View) -> Picture:
    """Paint a view: float32 (3, 64, 64) in [0, 1]."""
    picture = _backdrop_picture(view.scene.backdrop)
    for item in view.scene.items:
        if item != view.focus:
            picture = _paint_item(picture, item)
    if view.focus is not None:
        picture = _paint_item(blur(picture, FOCUS_BLUR), view.focus)
    if view.lighting is not None:
        picture = relight(picture, *view.lighting)
    if view.style is not None:
        picture = stylize(picture, view.style)
    return np.clip(picture, 0, 1).astype(np.float32)


def _backdrop_picture(backdrop: Backdrop) -> Picture:
    wave = texture_wave(backdrop.texture)
    return _colour(*BACKDROPS[backdrop.colour]) + CONTRAST * wave


def _paint_item(picture: Picture, item: Item) -> Picture:
    return paint(picture, shape_mask(item.shape, *PLACES[item.place], RADIUS), COLOURS[item.colour])


def relight(picture: Picture, side: str, light: str) -> Picture:
    """Return the picture lit from one side: full (tinted) light there, a third of it at the far side."""
    gain = (0.3 + 0.9 * ramp(side)) * _colour(*LIGHTS[light])
    return np.clip(picture * gain, 0, 1)


def stylize(picture: Picture, style: str) -> Picture:
    """Return the picture as gray, sepia, negative, blueprint or faded."""
    gray = np.tensordot(np.array([0.3, 0.59, 0.11], np.float32), picture, 1)[None]
    if style == "gray":
        return np.repeat(gray, 3, axis=0)
    if style == "sepia":
        return gray * _colour(1.0, 0.80, 0.55)
    if style == "negative":
        return 1 - picture
    if style == "blueprint":
        return gray * _colour(0.75, 0.70, 0.45) + _colour(0.05, 0.20, 0.50)
    if style == "faded":
        return 0.55 + 0.4 * (picture - 0.5)
    raise ValueError(f"style: expected one of {', '.join(STYLES)}, got {style!r}")


def _colour(red: float, green: float, blue: float) -> Picture:
    return np.array([red, green, blue], np.float32)[:, None, None]
