"""A world small enough to see the whole system at work on a laptop: scenes, their exact rating, and a tiny editor."""

from hpedit.editors.shipped import checkpoint_folder

__all__ = ["checkpoint_folder"]
