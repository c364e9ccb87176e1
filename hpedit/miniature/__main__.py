"""``python -m hpedit.miniature``: data sets of the miniature world, and the editor and judge that ship with it."""

from jsonargparse import auto_cli

from hpedit.miniature.build import autoencoder, build, data
from hpedit.miniature.judge_build import judge, judge_report

if __name__ == "__main__":
    auto_cli([data, autoencoder, build, judge, judge_report], as_positional=True)
