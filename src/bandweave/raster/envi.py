"""Write a finished GeoTIFF as an ENVI file: plain binary, and a header that names wavelengths."""

from __future__ import annotations

from pathlib import Path

import rasterio
import rasterio.shutil

from bandweave.errors import OutputExistsError
from bandweave.raster.geotiff import reported
from bandweave.raster.opening import quiet_open


def copy_as_envi(source: Path, out: Path, *, overwrite: bool) -> None:
    """Copy a GeoTIFF to `out` and `out` with the suffix `.hdr`; both appear complete or not at all.

    GDAL writes size, type, map, nodata (`data ignore value`) and band names; wavelengths and their
    unit come from the tags of the bands. The header has its final name first: a file without pixels
    is harmless, pixels without a header are not.

    Args:
        source: Complete GeoTIFF.
        out: Name of the binary file, with any suffix but `.hdr`.
        overwrite: Replace existing files.

    Raises:
        OutputError: The disk is full, or the folder may not be written to.
        OutputExistsError: One of the files exists and `overwrite` is False.
    """
    header = out.with_suffix(".hdr")
    taken = [path for path in (out, header) if path.exists()]
    if taken and not overwrite:
        raise OutputExistsError(f"{taken[0]} exists; give another name, or --overwrite.")
    partial = out.with_name(f".{out.stem}.envi-partial.img")
    made = (partial, partial.with_suffix(".hdr"), Path(f"{partial}.aux.xml"))
    try:
        with reported(out):
            with quiet_open(source) as dataset:
                tags = [dataset.tags(band) for band in dataset.indexes]
            rasterio.shutil.copy(source, partial, driver="ENVI")
            with made[1].open("a", encoding="utf-8") as lines:
                lines.writelines(f"{line}\n" for line in _spectral_lines(tags))
            made[1].replace(header)
            partial.replace(out)
    finally:
        for path in made:
            path.unlink(missing_ok=True)


def _spectral_lines(tags: list[dict[str, str]]) -> list[str]:
    """Return the header's lines on wavelengths, none where a band has none."""
    lines = []
    units = {band.get("wavelength_units", "") for band in tags}
    if len(units) == 1 and "" not in units:
        lines.append(f"wavelength units = {units.pop()}")
    for key in ("wavelength", "fwhm"):
        values = [band[key] for band in tags if key in band]
        if len(values) == len(tags):
            lines.append(f"{key} = {{{', '.join(values)}}}")
    return lines
