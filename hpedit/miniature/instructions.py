"""Instruction wording: several ways to ask for the same edit."""

from __future__ import annotations

import numpy as np

from hpedit.miniature.drawing import SHAPES
from hpedit.miniature.scenes import BACKDROPS, COLOURS, LIGHTS, PLACES, SIDES

TEMPLATES: dict[str, tuple[str, ...]] = {
    "object_addition": (
        "add a {colour} {shape} at the {place}",
        "put a {colour} {shape} in the {place}",
        "draw a {colour} {shape} at the {place} of the picture",
        "place one {colour} {shape} at the {place}",
    ),
    "object_removal": (
        "remove the {item}",
        "delete the {item} from the picture",
        "take away the {item}",
        "erase the {item}",
    ),
    "object_swapping": (
        "replace the {item} with a {colour} {shape}",
        "swap the {item} for a {colour} {shape}",
        "turn the {item} into a {colour} {shape}",
        "exchange the {item} for a {colour} {shape}",
    ),
    "background_replacement": (
        "change the background to {pattern}",
        "use {pattern} as the background",
        "replace the background with {pattern}",
        "give the picture a background of {pattern}",
    ),
    "color_change": (
        "make the {item} {colour}",
        "paint the {item} {colour}",
        "change the color of the {item} to {colour}",
        "recolor the {item} in {colour}",
    ),
    "bokeh": (
        "blur everything except the {item}",
        "keep the {item} sharp and blur the rest",
        "focus on the {item} with a soft blurred background",
        "add bokeh around the {item}",
    ),
    "relighting": (
        "light the scene with {light} light from the {side}",
        "add {light} light coming from the {side}",
        "relight it with a {light} lamp on the {side}",
        "shine {light} light from the {side}",
    ),
    "style_transfer": (
        "turn it into {style}",
        "make the picture look like {style}",
        "redraw it as {style}",
        "restyle the picture as {style}",
    ),
}

STYLE_PHRASES: dict[str, tuple[str, ...]] = {
    "gray": ("a black and white photo", "a grayscale picture"),
    "sepia": ("a sepia photo", "an old brown photo"),
    "negative": ("a photo negative", "an inverted picture"),
    "blueprint": ("a blueprint", "a blue technical drawing"),
    "faded": ("a faded print", "a pale washed out photo"),
}

PATTERN_PHRASES: dict[str, str] = {
    "plain": "plain {backdrop}",
    "stripes": "{backdrop} vertical stripes",
    "bars": "{backdrop} horizontal bars",
    "diagonals": "{backdrop} diagonal lines",
    "checks": "{backdrop} checks",
    "dots": "{backdrop} dots",
}


def write_instruction(task: str, words: dict[str, str], rng: np.random.Generator) -> str:
    """Word an edit: ``words`` are its fields (hpedit.miniature.edits.Edit)."""
    fields = dict(words)
    if "style" in fields:
        fields["style"] = str(rng.choice(STYLE_PHRASES[fields["style"]]))
    if "texture" in fields:
        fields["pattern"] = PATTERN_PHRASES[fields["texture"]].format(**fields)
    return str(rng.choice(TEMPLATES[task])).format(**fields)


def vocabulary_texts() -> list[str]:
    """Return texts that hold every word an instruction can have, for training a tokenizer."""
    names = [*COLOURS, *SHAPES, *PLACES, *SIDES, *LIGHTS, *BACKDROPS]
    styles = [phrase for phrases in STYLE_PHRASES.values() for phrase in phrases]
    templates = [template for templates in TEMPLATES.values() for template in templates]
    # A word inside a sentence has a blank before it, and is another token without.
    return [f"use {text}" for text in (*names, *styles, *PATTERN_PHRASES.values(), *templates)] + templates
