"""Where training and evaluation data come from; configs name these by class_path."""

from datamodules.preference_pairs import PreferencePairDataModule
from datamodules.real_pref import RealPrefDataModule

__all__ = ["PreferencePairDataModule", "RealPrefDataModule"]
