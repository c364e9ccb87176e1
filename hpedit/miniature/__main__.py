"""``python -m hpedit.miniature``: data sets of the miniature world, and the editor that ships with the package."""

from jsonargparse import auto_cli

from hpedit.miniature.build import autoencoder, build, data

if __name__ == "__main__":
    auto_cli([data, autoencoder, build], as_positional=True)
