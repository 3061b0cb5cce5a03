"""The command list. Commands are loaded when they are called, so `--help` stays quick."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from bandweave import __version__
from bandweave.errors import BandweaveWarning, FusionError
from bandweave.machine import keep_algebra_in_its_thread

# Name -> (module with a click command called `command`, one line for the help).
COMMANDS: dict[str, tuple[str, str]] = {
    "fuse": ("bandweave.cli.fuse", "Fuse a PAN with a multispectral image, any size."),
    "batch": ("bandweave.cli.batch", "Fuse every product below a folder; resumable."),
    "check": ("bandweave.cli.check", "Report grids, overlap, displacement and PAN sharpness."),
    "evaluate": ("bandweave.cli.evaluate", "Score a fused image with or without reference."),
    "simulate": ("bandweave.cli.simulate", "Make reduced-resolution sets from scenes."),
    "train": ("bandweave.cli.train", "Train a network from a preset or a file; resumable."),
    "adapt": ("bandweave.cli.adapt", "Tune weights to one scene without ground truth."),
    "benchmark": ("bandweave.cli.benchmark", "Compare methods on data; records and tables."),
    "view": ("bandweave.cli.view", "Look at large rasters in the browser, on this machine."),
    "report": ("bandweave.cli.report", "Show a run on one HTML page, with figures."),
    "demo": ("bandweave.cli.demo", "Make a scene, fuse it, score it, show it; offline."),
    "methods": ("bandweave.cli.methods", "List the methods with citation, reach and parity."),
    "weights": ("bandweave.cli.weights", "List, show and convert weight files."),
    "export": ("bandweave.cli.export", "Write a network as an ONNX graph, and check it."),
    "sensors": ("bandweave.cli.sensors", "List the sensors with bands and MTF gains."),
    "datasets": ("bandweave.cli.datasets", "List the data sets that can be read."),
}


class LateGroup(click.Group):
    """A group whose commands are imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command's module."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help from the table, without importing anything."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LateGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bandweave")
@click.option("--debug", is_flag=True, help="Show the full traceback of an error.")
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> None:
    """Join a sharp image with few bands to a coarse image with many.

    The spatial image (PAN, RGB) comes first, the spectral one (MS, HS) second, as in:

        bandweave fuse PAN.tif MS.tif OUT.tif
    """
    ctx.obj = {"debug": debug}


def show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """Print a warning as a sentence on stderr."""
    click.echo(f"Warning: {message}", err=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program: exit 0, 1 (failed, one sentence on stderr) or 2 (wrong usage)."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    keep_algebra_in_its_thread()
    # GDAL's own warnings of damaged files come on top of ours, in its words.
    logging.getLogger("rasterio").setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("always", BandweaveWarning)
        warnings.showwarning = show_warning
        sys.exit(_run(arguments))


def _run(arguments: list[str]) -> int:
    """Run the group and turn what it raises into an exit status."""
    try:
        status = cli.main(arguments, prog_name="bandweave", standalone_mode=False)
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted. Nothing was written under the final name.", err=True)
    except Exception as error:
        if "--debug" in arguments:
            raise
        click.echo(f"Error: {_sentence(error)}", err=True)
    else:
        return status if isinstance(status, int) else 0
    return 1


def _sentence(error: Exception) -> str:
    if isinstance(error, FusionError):
        return str(error)
    return f"unexpected {type(error).__name__}: {error}. See it whole with --debug."
