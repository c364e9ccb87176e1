"""The command line of a run: short config names, a folder for each run, going on, checkpoints that last."""

from __future__ import annotations

import sys
from typing import Any

from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.trainer import Trainer

from hpedit.checkpoint_io import DurableCheckpointIO
from hpedit.modules.checkpoint import EditorModule, verify_file
from hpedit.runs import RunFolder, find_configs, place_run
from hpedit.terminal import shorten_help, silence

_PURPOSE = (
    "Post-train and evaluate image editors. A config without a path is one of configs/, a second --config composes, "
    "and any setting can be given as a flag: train.py fit --config grpo.yaml --model.rollout.group_size 8"
)


class RunCLI(LightningCLI):
    """LightningCLI whose runs have folders of their own and go on with ``--ckpt_path last``.

    Args:
        args: The words of the command line; None takes those of this process.
    """

    def __init__(self, args: list[str] | None = None) -> None:
        super().__init__(
            subclass_mode_model=True,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            seed_everything_default=0,
            # A run's folder is its own (hpedit.runs), so that only going on writes a config twice.
            save_config_kwargs={"overwrite": True},
            trainer_defaults={"use_distributed_sampler": False},
            parser_kwargs={
                name: {
                    "default_config_files": [],
                    "usage": f"train.py {name} [--config FILE]... [--FLAG VALUE]...",
                }
                for name in self.subcommands()
            },
            args=args,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument("--run", type=RunFolder, default=RunFolder(), help="Where the run writes.")

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        parser.description = _PURPOSE
        for subparser in self._subcommand_parsers.values():
            subparser.set_defaults(weights_only=True)
            shorten_help(subparser)
        # Nobody asks a command for its return value, and pictures of a large data set fill the memory.
        self._subcommand_parsers["predict"].set_defaults(return_predictions=False)
        given: Any = sys.argv[1:] if args is None else args
        words, self.config_name = find_configs(given)
        self.config = parser.parse_args(words)

    def _parse_ckpt_path(self) -> None:
        """Say where the run writes and what it starts from; unlike Lightning's, read no settings from a checkpoint."""
        subcommand = self.config["subcommand"]
        place_run(self.config[subcommand], self.config_name, goes_on=subcommand == "fit")

    def before_instantiate_classes(self) -> None:
        silence()

    def instantiate_trainer(self, **kwargs: object) -> Trainer:
        path = self._get(self.config_init, "ckpt_path")
        if path is not None and isinstance(self.model, EditorModule):
            verify_file(str(path), self.model)
        if path is not None and self.subcommand == "fit":
            # The score to beat was taken before the first round, not before this one.
            kwargs["num_sanity_val_steps"] = 0
        run = self._get(self.config_init, "run")
        trainer = super().instantiate_trainer(logger=run.logger(), **kwargs)
        trainer.strategy.checkpoint_io = DurableCheckpointIO()
        return trainer
