"""The eight editing tasks on views: what is asked, the exact result, and a plausible misunderstanding of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from hpedit.miniature.drawing import SHAPES, TEXTURES
from hpedit.miniature.scenes import (
    BACKDROPS,
    COLOURS,
    LIGHTS,
    SIDES,
    STYLES,
    Backdrop,
    Item,
    Scene,
    View,
    random_scene,
)

Rng = np.random.Generator


@dataclass(frozen=True)
class Edit:
    """One edit of one scene.

    Attributes:
        task: canonical task name.
        before, after: the views before and after the edit.
        wrong: what comes out when the instruction is taken for another of the same task.
        words: what the instruction must name, by template field; it determines ``after`` fully.
    """

    task: str
    before: View
    after: View
    wrong: View
    words: dict[str, str]


def propose(task: str, rng: Rng) -> Edit:
    """Draw a scene and an edit of it for a canonical task."""
    return _PROPOSALS[task](rng)


def _add(rng: Rng) -> Edit:
    scene = random_scene(rng)
    scene = replace(scene, items=scene.items[:2])
    shape = _other(rng, SHAPES, *(i.shape for i in scene.items))
    colour, other = _two(rng, [c for c in COLOURS if c not in {i.colour for i in scene.items}])
    place, elsewhere = _two(rng, scene.free_places())
    after = _with(scene, Item(shape, colour, place))
    wrong = _with(scene, Item(shape, other, elsewhere))
    words = {"shape": shape, "colour": colour, "place": place}
    return Edit("object_addition", View(scene), View(after), View(wrong), words)


def _remove(rng: Rng) -> Edit:
    scene = random_scene(rng, min_items=2)
    item, another = scene.items[:2]
    words = {"item": item.name}
    return Edit("object_removal", View(scene), View(scene.without(item)), View(scene.without(another)), words)


def _swap(rng: Rng) -> Edit:
    scene = random_scene(rng, min_items=2)
    item, another = scene.items[:2]
    shape = _other(rng, SHAPES, *(i.shape for i in scene.items))
    colour = _other(rng, COLOURS, *(i.colour for i in scene.items))
    after = scene.exchange(item, replace(item, shape=shape, colour=colour))
    wrong = scene.exchange(another, replace(another, shape=shape, colour=colour))
    words = {"item": item.name, "shape": shape, "colour": colour}
    return Edit("object_swapping", View(scene), View(after), View(wrong), words)


def _background(rng: Rng) -> Edit:
    scene = random_scene(rng)
    texture, texture_2 = _two(rng, [t for t in TEXTURES if t != scene.backdrop.texture])
    colour, colour_2 = _two(rng, [c for c in BACKDROPS if c != scene.backdrop.colour])
    after = replace(scene, backdrop=Backdrop(texture, colour))
    wrong = replace(scene, backdrop=Backdrop(texture_2, colour_2))
    words = {"texture": texture, "backdrop": colour}
    return Edit("background_replacement", View(scene), View(after), View(wrong), words)


def _recolour(rng: Rng) -> Edit:
    scene = random_scene(rng, min_items=2)
    item, another = scene.items[:2]
    colour = _other(rng, COLOURS, *(i.colour for i in scene.items))
    after = scene.exchange(item, replace(item, colour=colour))
    wrong = scene.exchange(another, replace(another, colour=colour))
    words = {"item": item.name, "colour": colour}
    return Edit("color_change", View(scene), View(after), View(wrong), words)


def _bokeh(rng: Rng) -> Edit:
    scene = random_scene(rng, min_items=2, plain=False)
    item, another = scene.items[:2]
    words = {"item": item.name}
    return Edit("bokeh", View(scene), View(scene, focus=item), View(scene, focus=another), words)


def _relight(rng: Rng) -> Edit:
    scene = random_scene(rng)
    (side, side_2), (light, light_2) = _two(rng, SIDES), _two(rng, LIGHTS)
    words = {"side": side, "light": light}
    after, wrong = View(scene, lighting=(side, light)), View(scene, lighting=(side_2, light_2))
    return Edit("relighting", View(scene), after, wrong, words)


def _restyle(rng: Rng) -> Edit:
    scene = random_scene(rng, plain=False)
    style, style_2 = _two(rng, STYLES)
    words = {"style": style}
    return Edit("style_transfer", View(scene), View(scene, style=style), View(scene, style=style_2), words)


_PROPOSALS: dict[str, Callable[[Rng], Edit]] = {
    "object_addition": _add,
    "object_removal": _remove,
    "object_swapping": _swap,
    "background_replacement": _background,
    "color_change": _recolour,
    "bokeh": _bokeh,
    "relighting": _relight,
    "style_transfer": _restyle,
}


def _with(scene: Scene, item: Item) -> Scene:
    return replace(scene, items=(*scene.items, item))


def _other(rng: Rng, names: Iterable[str], *taken: str) -> str:
    return str(rng.choice([n for n in names if n not in taken]))


def _two(rng: Rng, names: Iterable[str]) -> tuple[str, str]:
    first, second = rng.choice(list(names), 2, replace=False)
    return str(first), str(second)
