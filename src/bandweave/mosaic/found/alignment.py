"""Open a scene with the displacement between PAN and MS corrected, where it is certain."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Literal, Protocol

from bandweave.errors import AlignmentWarning, ConfigError
from bandweave.source import PairSource
from bandweave.window import Window

Offset = tuple[float, float]


class Scene(Protocol):
    """What a job starts from: a pair that can be opened at a displacement."""

    def can_align(self, offset: Offset) -> bool:
        """Tell whether `opened` takes this offset."""
        ...

    def opened(self, offset: Offset) -> PairSource:
        """Return the pair with the PAN's content displaced by `offset` PAN pixels."""
        ...

    def selected(self, places: tuple[int, ...], offset: Offset) -> PairSource:
        """Return the pair with some of its spectral bands, counted from 0, in this order."""
        ...

    def window(self, source: PairSource) -> Window:
        """Return the part to fuse, in pixels of `source`."""
        ...


def open_aligned(
    scene: Scene, align: Literal["auto", "off"] | Offset, note: Callable[[str], None]
) -> tuple[PairSource, Offset | None]:
    """Open a scene and correct its displacement.

    Args:
        scene: The pair.
        align: `auto` corrects what is measured with certainty, an offset is taken as it is.
        note: Receives what was done as a sentence.

    Returns:
        The open pair, and the offset that was corrected or None.

    Raises:
        ConfigError: An offset was given that needs a crop, for a scene that gets none.

    Warns:
        AlignmentWarning: A displacement was found and not corrected.
    """
    if isinstance(align, tuple):
        if not scene.can_align(align):
            raise ConfigError(
                f"A displacement of {_rows_cols(align)} would need a crop, which arrays and .mat "
                "files do not get; crop the PAN, or give raster files."
            )
        note(f"Alignment: displacement of {_rows_cols(align)} as given.")
        return scene.opened(align), align
    source = scene.opened((0.0, 0.0))
    if align == "off":
        return source, None
    # Late: the measurement loads SciPy.
    from bandweave.mosaic.found.shift import (  # noqa: PLC0415
        WARN_ABOVE,
        decide_alignment,
        measure_displacement,
    )

    ratio = source.profile.ratio
    found = measure_displacement(source)
    measured = f"{_rows_cols((found.rows, found.cols))}, confidence {found.confidence:.2f}"
    offset = decide_alignment(found, ratio)
    if offset is None:
        if found.distance > WARN_ABOVE * ratio:
            warnings.warn(
                f"PAN and MS may be displaced by {measured}: too uncertain to be corrected; "
                "look at the result, or give --align DY,DX.",
                AlignmentWarning,
                stacklevel=2,
            )
        return source, None
    if not scene.can_align(offset):
        warnings.warn(
            f"PAN and MS are displaced by {measured}, which would need a crop that arrays and .mat "
            "files do not get: crop the PAN, or give raster files.",
            AlignmentWarning,
            stacklevel=2,
        )
        return source, None
    note(f"Alignment: displacement of {measured}, corrected.")
    with warnings.catch_warnings():
        # The first opening has said what there is to say of the grids.
        warnings.simplefilter("ignore", AlignmentWarning)
        return scene.opened(offset), offset


def _rows_cols(offset: Offset) -> str:
    return f"{offset[0]:.2f} rows and {offset[1]:.2f} columns of PAN"
