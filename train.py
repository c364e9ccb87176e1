"""hpedit's command line: ``python train.py fit|validate|test|predict --config grpo.yaml``."""

from __future__ import annotations

from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.trainer import Trainer

from callbacks.edit_writer import EditWriter
from callbacks.progress import OneLineProgressBar
from callbacks.reward import RewardCallback
from hpedit.cli import RunCLI
from hpedit.terminal import tell


class EditCLI(RunCLI):
    """The command line with HP-Scorer under a key of its own, which no composed config can drop."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        super().add_arguments_to_parser(parser)
        parser.add_argument(
            "--reward",
            type=RewardCallback | None,
            default=None,
            help="HP-Scorer as reward and metric. Not an entry of trainer.callbacks: a second --config replaces lists.",
        )

    def instantiate_trainer(self, **kwargs: object) -> Trainer:
        reward = self._get(self.config_init, "reward")
        callbacks = [] if reward is None else [reward]
        settings = self._get(self.config_init, "trainer")
        named = settings["callbacks"] or []
        bar_wanted = settings["enable_progress_bar"] is not False and not settings["barebones"]
        if bar_wanted and not any(isinstance(c, ProgressBar) for c in named):
            callbacks.append(OneLineProgressBar())
        if self.subcommand == "predict" and not any(isinstance(c, EditWriter) for c in named):
            callbacks.append(EditWriter())  # a prediction that nobody writes down is lost
        self.trainer_defaults["callbacks"] = callbacks
        return super().instantiate_trainer(**kwargs)


def main(args: list[str] | None = None) -> EditCLI:
    """Parse the command line (or ``args``) and run its subcommand."""
    return EditCLI(args)


if __name__ == "__main__":
    tell(main)
