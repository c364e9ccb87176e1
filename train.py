"""hpedit's command line: ``python train.py fit|validate|test|predict --config grpo.yaml``."""

from __future__ import annotations

from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.trainer import Trainer

from callbacks.reward import RewardCallback
from hpedit.runs import RunFolder, find_configs, resume_last


class EditCLI(LightningCLI):
    """LightningCLI with a reward that no composed config can drop, short config names and run folders of its own."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument("--run", type=RunFolder, default=RunFolder(), help="Where the run writes.")
        parser.add_argument(
            "--reward",
            type=RewardCallback | None,
            default=None,
            help="HP-Scorer as reward and metric. Not an entry of trainer.callbacks: a second --config replaces lists.",
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        super().parse_arguments(parser, find_configs(args))

    def _parse_ckpt_path(self) -> None:
        """Resolve ``--ckpt_path last`` to this run's newest checkpoint; read no hyperparameters from it."""
        config = self.config.get(self.config.get("subcommand") or "", self.config)
        if resume_last(config):
            self.save_config_kwargs["overwrite"] = True

    def instantiate_trainer(self, **kwargs: object) -> Trainer:
        reward = self._get(self.config_init, "reward")
        self.trainer_defaults["callbacks"] = [] if reward is None else [reward]
        run = self._get(self.config_init, "run")
        return super().instantiate_trainer(logger=run.logger(), **kwargs)


def main(args: ArgsType = None) -> EditCLI:
    """Parse the command line (or ``args``) and run its subcommand."""
    return EditCLI(
        subclass_mode_model=True,
        subclass_mode_data=True,
        auto_configure_optimizers=False,
        load_from_checkpoint_support=False,
        seed_everything_default=0,
        trainer_defaults={"use_distributed_sampler": False},
        parser_kwargs={s: {"default_config_files": []} for s in EditCLI.subcommands()},
        args=args,
    )


if __name__ == "__main__":
    main()
