"""What follows from a check, in plain sentences."""

from __future__ import annotations

from collections.abc import Iterator

from bandweave.mosaic.check.report import CheckReport
from bandweave.mosaic.found.shift import CORRECT_ABOVE, TRUST_FROM, default_search

_MUCH_MISSING = 0.5
"""Share of usable pixels below which it is worth a word."""
_MUCH_UNEXPLAINED = 0.25
"""Share of the PAN's variance beyond the bands from which the images tell different stories."""
_OFF_THE_TABLE = 1.5
"""Factor between a measured and a tabulated MTF gain from which it is worth a word."""


def advise(report: CheckReport) -> Iterator[str]:
    """Yield what a user should know and do, the most important first."""
    yield from _on_displacement(report)
    yield from _on_content(report)
    yield from _on_sharpness(report)
    yield from _on_sensor(report)


def _on_displacement(report: CheckReport) -> Iterator[str]:
    found, ratio = report.displacement, report.grids.ratio
    place = f"{found.rows:.1f} rows and {found.cols:.1f} columns of PAN"
    if found.windows == 0:
        yield (
            "Whether PAN and MS are displaced could not be measured: no place of the scene shows "
            f"the same content in both within {default_search(ratio)} PAN pixels, or the scene is "
            "too small. Look whether they show the same place."
        )
    elif found.confidence < TRUST_FROM:
        yield (
            f"A displacement of {place} was found, but with confidence {found.confidence:.2f}: too "
            "uncertain to be corrected. Look at the images, and give --align DY,DX if you know it."
        )
    elif report.offset is None:
        yield f"PAN and MS are registered to {found.distance:.1f} PAN pixels: nothing to correct."
    elif report.can_align:
        yield f"PAN and MS are displaced by {place}; `fuse --align auto` will correct this."
    else:
        yield (
            f"PAN and MS are displaced by {place} from the file's phase {report.grids.phase[0]:g}, "
            f"{report.grids.phase[1]:g}, which `fuse` takes as it is in such files: crop them, or "
            "give raster files, which it aligns."
        )
    if found.confidence >= TRUST_FROM and max(found.scatter) > CORRECT_ABOVE * ratio:
        yield (
            f"The displacement differs over the scene by about {max(found.scatter):.1f} PAN "
            "pixels, which no single shift corrects: orthorectify both images with one elevation "
            "model."
        )


def _on_content(report: CheckReport) -> Iterator[str]:
    if report.valid_share < _MUCH_MISSING:
        yield (
            f"Only {100 * report.valid_share:.0f} % of the pixels are usable in both images; check "
            "nodata values and masks if that is not what you expect."
        )
    sharpness = report.sharpness
    if sharpness is not None and sharpness.unexplained > _MUCH_UNEXPLAINED:
        yield (
            f"The MS bands leave {100 * sharpness.unexplained:.0f} % of the PAN unexplained: they "
            "were taken at another time, or see other wavelengths. Expect wrong colours where the "
            "two differ."
        )


def _on_sharpness(report: CheckReport) -> Iterator[str]:
    sharpness, table = report.sharpness, report.table_gain
    if sharpness is not None and table is not None:
        if sharpness.gain > _OFF_THE_TABLE * table:
            yield (
                f"The PAN is softer than its table says (the MS looks like it at a gain of "
                f"{sharpness.gain:.2f} instead of {table:.2f}): less detail than usual can be won."
            )
        elif sharpness.gain * _OFF_THE_TABLE < table:
            yield (
                f"The MS is softer than its table says (a gain of {sharpness.gain:.2f} instead of "
                f"{table:.2f}), or the PAN was sharpened: methods that trust the table will leave "
                "the result soft."
            )
    match = report.match
    if match is not None and match.acted:
        yield (
            f"For the weights {report.weights} the PAN is too sharp: `fuse --pan-sharpness auto` "
            f"will blur it by {match.sigma:g} pixels, which takes {100 * match.fall:.0f} % off the "
            "reprojection error."
        )
    elif match is None and report.weights is not None:
        yield (
            f"Whether the PAN suits the weights {report.weights} could not be measured, since the "
            "MTF of the MS is not known: give --sensor."
        )
    elif match is not None:
        yield (
            f"For the weights {report.weights} the PAN is left as it is: blurring takes "
            f"{100 * match.fall:.0f} % off the reprojection error at best, which is no evidence."
        )


def _on_sensor(report: CheckReport) -> Iterator[str]:
    found = report.instruments
    if found is not None and any(found.explained):
        yield (
            "What links the two images was found: `fuse --consistent` keeps both exactly, or as "
            "exactly as their noise allows."
        )
    elif found is not None:
        yield (
            "The sharp bands are no mixtures of the spectral ones: other wavelengths, another "
            "time, or images that do not lie on each other. `--consistent` keeps the spectral "
            "image alone."
        )
    elif report.sensor is None:
        yield (
            "The sensor is not known: name it with --sensor (`bandweave sensors` lists them) for "
            "its MTF, its scale and weights that fit."
        )
