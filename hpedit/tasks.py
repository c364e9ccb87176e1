"""The eight editing tasks of RealPref and RealPref-Bench (paper, section 4.2)."""

TASKS: tuple[str, ...] = (
    "object_addition",
    "object_removal",
    "object_swapping",
    "background_replacement",
    "color_change",
    "bokeh",
    "relighting",
    "style_transfer",
)

# How other benchmarks and the paper's own tables name the same tasks.
ALIASES: dict[str, str] = {
    "add": "object_addition",
    "subject-add": "object_addition",
    "remove": "object_removal",
    "removal": "object_removal",
    "subject-remove": "object_removal",
    "swap": "object_swapping",
    "replace": "object_swapping",
    "object_swap": "object_swapping",
    "subject-replace": "object_swapping",
    "background": "background_replacement",
    "background_change": "background_replacement",
    "background_replace": "background_replacement",
    "bg_replace": "background_replacement",
    "color": "color_change",
    "colour_change": "color_change",
    "color_alter": "color_change",
    "relight": "relighting",
    "tone_transfer": "relighting",
    "style": "style_transfer",
    "style_change": "style_transfer",
    "stylize": "style_transfer",
}


def canonical_task(name: str, record: str = "task") -> str:
    """Return the canonical name of a task.

    Case, spaces and hyphens do not matter ("Object Addition" is "object_addition").
    Raises ValueError that names ``record`` when the task is unknown.
    """
    key = name.strip().lower()
    for candidate in (key, key.replace(" ", "_").replace("-", "_")):
        if candidate in TASKS:
            return candidate
        if candidate in ALIASES:
            return ALIASES[candidate]
    raise ValueError(f"{record}: unknown task {name!r}; expected one of {', '.join(TASKS)}")
