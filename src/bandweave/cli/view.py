"""`bandweave view`: rasters in the browser, on this machine only."""

from __future__ import annotations

import os
import sys
import webbrowser

import click

from bandweave.errors import MissingExtraError


@click.command()
@click.argument("paths", metavar="FILE...", nargs=-1)
@click.option(
    "--error",
    nargs=2,
    metavar="A B",
    help="Show the absolute difference of two files of one grid first.",
)
@click.option(
    "--overviews", is_flag=True, help="Build what overviews lack, as FILE.ovr; FILE is only read."
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Port; a free one if left out."
)
@click.option("--no-browser", is_flag=True, help="Print the address and open nothing.")
def command(
    paths: tuple[str, ...],
    error: tuple[str, str] | None,
    *,
    overviews: bool,
    port: int,
    no_browser: bool,
) -> None:
    """Look at large rasters: swipe, bands, stretch, spectra of all files at a click.

    Files are laid over one another by their georeference, the first one gives pixels and
    coordinates; PAN, MS and fused results in this order suit well.

        bandweave view PAN.tif MS.tif FUSED.tif
        bandweave view FUSED.tif TRUTH.tif --error FUSED.tif TRUTH.tif

    Serves 127.0.0.1 under an address with a secret; nothing but these files can be read. Ctrl-C
    ends it.
    """
    if not paths and error is None:
        raise click.UsageError("Missing argument 'FILE...'.")
    try:
        from bandweave.viewer.serve import serve  # noqa: PLC0415  # the extra `viewer`
    except ModuleNotFoundError as missing:
        raise MissingExtraError(
            f"The viewer needs {missing.name}, which is not installed: pip install "
            "'bandweave[viewer]'."
        ) from missing
    from bandweave.viewer.overviews import build_beside  # noqa: PLC0415  # loads rasterio
    from bandweave.viewer.scene import Scene  # noqa: PLC0415  # the same

    for path in dict.fromkeys((*paths, *(error or ()))) if overviews else ():
        click.echo(f"Overviews of {path} ...", err=True)
        built = build_beside(path)
        click.echo(f"  {built or 'none are missing'}", err=True)

    def ready(address: str) -> None:
        click.echo(f"{address}\nCtrl-C ends the viewer.", err=True)
        if not no_browser and _has_desktop():
            webbrowser.open(address)

    with Scene(paths, error) as scene:
        for note in scene.notes:
            click.echo(note, err=True)
        serve(scene, port=port, ready=ready)


def _has_desktop() -> bool:
    """Tell whether a browser would have a window: without, Python may start one in the terminal."""
    by_platform = sys.platform in {"darwin", "win32"}
    return by_platform or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
