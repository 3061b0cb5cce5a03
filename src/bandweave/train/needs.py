"""What a network needs of everything that it learns from or is scored on."""

from __future__ import annotations

import math

from bandweave.errors import BandCountError, GridMismatchError, ShapeError
from bandweave.methods.nets.table import find_network
from bandweave.pair import PairProfile
from bandweave.train.config import TrainConfig


def require_fit(profile: PairProfile, config: TrainConfig, name: str, *, is_learned: bool) -> None:
    """Make sure that a simulated pair suits a run, before the first step is computed.

    Args:
        profile: The pair.
        config: The run.
        name: What the message calls the pair.
        is_learned: Whether tiles are cut out of it, rather than all of it fused.

    Raises:
        BandCountError: The network is for other numbers of bands.
        GridMismatchError: The network is for another ratio.
        ShapeError: There is no room for a tile.
    """
    spec = config.network
    needed = find_network(spec.architecture).configure(spec.config, source=config.name)
    if (profile.spatial_bands, profile.bands) != (needed.spatial_bands, needed.bands):
        raise BandCountError(
            f"The network of {config.name} fuses {needed.spatial_bands} spatial and "
            f"{needed.bands} spectral bands, {name} has {profile.spatial_bands} and "
            f"{profile.bands}; choose bands of that source, leave it out, or change network.config."
        )
    if profile.ratio != needed.ratio:
        raise GridMismatchError(
            f"The network of {config.name} is for ratio {needed.ratio}, {name} has ratio "
            f"{profile.ratio}; leave that source out, or change network.config.ratio."
        )
    if is_learned:
        _require_room(profile, config, name)


def _require_room(profile: PairProfile, config: TrainConfig, name: str) -> None:
    small = config.small_tiles
    tile = config.tile if small is None else max(config.tile, small.tile)
    # Mirrored tiles are cut that much further on, see `TrainingScene`.
    shifts = [abs(2 * phase - (profile.ratio - 1)) for phase in profile.phase]
    needed = tile + (math.ceil(max(shifts)) if config.data.symmetries else 0)
    if min(profile.shape) < needed:
        raise ShapeError(
            f"Tiles of {tile} pixels need a reduced scene of {needed} x {needed} at least, {name} "
            f"has {profile.shape[0]} x {profile.shape[1]}; leave that source out, or set a smaller "
            "tile."
        )
