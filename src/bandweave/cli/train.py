"""`bandweave train`: make weights from a preset or a configuration file."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from bandweave.errors import MissingExtraError
from bandweave.methods.nets.table import find_network


def _tell(text: str) -> None:
    click.echo(text, err=True)


@click.command(name="train")
@click.argument("recipe", metavar="PRESET|FILE")
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False),
    help="Folder that the recipe's files lie in; over the recipe's own.",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one setting, for example --set optimiser.learning_rate=3e-4; may be repeated.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False),
    help="Folder of the run; runs/NAME by default. Run the same command again to go on.",
)
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    help="Stop after this time with a checkpoint; run the same command again to go on.",
)
@click.option("--dry-run", is_flag=True, help="Print the resolved settings and stop.")
def command(
    recipe: str,
    data: str | None,
    overrides: tuple[str, ...],
    out: str | None,
    minutes: float | None,
    *,
    dry_run: bool,
) -> None:
    """Train a network; run the same command again to go on after any interruption.

    PRESET is a name (see `bandweave train --help` and docs/training.md), FILE a TOML file with the
    same settings. Several processes, on CPUs too: `torchrun --nproc_per_node 2 -m bandweave train
    PRESET ...`, or `accelerate launch --multi_gpu --num_processes 2 -m ...`.
    """
    # Late: the settings can be shown without loading torch.
    from bandweave.train.recipes.presets import find_preset  # noqa: PLC0415
    from bandweave.train.settings import load_config, with_overrides  # noqa: PLC0415

    # A text in JSON is one in TOML, whatever the folder's name holds.
    root = [] if data is None else [f"data.root={json.dumps(data, ensure_ascii=False)}"]
    changes = [*root, *overrides]
    if Path(recipe).suffix == ".toml":
        config = load_config(recipe, changes)
    else:
        config = with_overrides(find_preset(recipe), changes)
    if dry_run:
        network = config.network
        find_network(network.architecture).configure(network.config, source=config.name)
        click.echo(config.model_dump_json(indent=2))
        return
    try:
        from bandweave.train.loop import train  # noqa: PLC0415

        report = train(config, Path(out or Path("runs") / config.name), _tell, minutes=minutes)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"Training needs the package {error.name!r}; install it with "
            "`pip install 'bandweave[train]'`."
        ) from error
    if int(os.environ.get("RANK", "0")) == 0:
        click.echo(str(report.weights))
