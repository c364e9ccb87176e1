"""hpedit: human-preference post-training for image editing models."""

__version__ = "0.1.0"
