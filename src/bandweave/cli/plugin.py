"""A command that other programs may call as a plug-in, as `rio` does."""

from __future__ import annotations

import warnings
from typing import Any

import click

from bandweave.cli.main import show_warning
from bandweave.errors import BandweaveWarning, FusionError


class PluginCommand(click.Command):
    """Says errors and warnings as sentences itself where the calling program does not.

    `bandweave` turns errors into sentences for all its commands; `rio` would show a traceback.
    """

    def invoke(self, ctx: click.Context) -> Any:
        """Call the command."""
        if "debug" in (ctx.find_object(dict) or {}):
            return super().invoke(ctx)
        with warnings.catch_warnings():
            warnings.simplefilter("always", BandweaveWarning)
            warnings.showwarning = show_warning
            try:
                return super().invoke(ctx)
            except FusionError as error:
                raise click.ClickException(str(error)) from error
