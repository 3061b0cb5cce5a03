"""The card in the header of a weight file: all that a user of the weights has to know. No torch."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError, safe_open

from bandweave import __version__
from bandweave.errors import CheckpointMismatchError
from bandweave.methods.nets.u2net_config import U2NetConfig

HEADER_KEY = "bandweave_card"
"""Key of the card in a safetensors file's header."""


class Score(BaseModel):
    """What the weights reached, under a named protocol."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str
    """Images scored, for example `wv3_cdif_rr`."""
    protocol: str
    """Protocol id that fixes border, block, quantisation and data range."""
    values: dict[str, float]
    """Metric id -> value, for example `{"psnr": 37.9}`."""


class WeightCard(BaseModel):
    """What a weight file says of itself; unknown keys are refused.

    Example:
        >>> card = PUBLISHED_WV3
        >>> WeightCard.model_validate_json(card.model_dump_json()) == card
        True
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Short name, for example `u2net-l-wv`."""
    architecture: Literal["u2net"] = "u2net"
    """Network class."""
    config: U2NetConfig
    """Band counts, ratio, widths and variant of the network."""
    band_names: tuple[str, ...]
    """Spectral bands in the order the network expects."""
    wavelengths: tuple[float, ...] | None = None
    """Centre wavelengths of these bands in nanometres, or None where not known."""
    full_scale: float = Field(gt=0)
    """Value of the input that maps to 1.0."""
    tile: int = Field(gt=0)
    """Fine pixels per side of the tile the network was trained on and is run on."""
    phase: tuple[float, float]
    """Fine index (row, column) of coarse sample 0 in the training pairs."""
    sensor: str
    """Id of the sensor in the sensor table, or a description where it stands for several."""
    pan_degradation: str
    """How the training PAN was made: method, kernel, gain or σ, phase, border, normalisation."""
    spectral_degradation: str
    """How the training `lrms` was made, in the same terms."""
    training_data: str
    """Images trained on."""
    training_terms: str
    """Terms of use of these images."""
    licence: str
    """Licence of the weights."""
    scores: tuple[Score, ...] = ()
    """Measured quality."""
    bandweave: str
    """Version of bandweave that wrote the card."""

    @model_validator(mode="after")
    def _fits_itself(self) -> WeightCard:
        config = self.config
        for key, listed in (("band_names", self.band_names), ("wavelengths", self.wavelengths)):
            if listed is not None and len(listed) != config.bands:
                raise ValueError(f"{key} lists {len(listed)} bands, the network has {config.bands}")
        if self.tile % 4:
            raise ValueError(f"the tile must be a multiple of 4, got {self.tile}")
        return self


def read_card(path: Path) -> WeightCard:
    """Read the card of a weight file; the tensors stay where they are.

    Raises:
        CheckpointMismatchError: The file is damaged, is no safetensors file, or has no valid card.
    """
    if not path.is_file():
        raise CheckpointMismatchError(f"There is no weight file {path}.")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata: dict[str, str] = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointMismatchError(
            f"{path} is damaged or no safetensors file ({error}); "
            "fetch it again, or convert a published .pth with `bandweave weights`."
        ) from error
    if HEADER_KEY not in metadata:
        raise CheckpointMismatchError(
            f"{path} holds tensors but no bandweave card, so bands, scale and tile are not known; "
            "use a file that bandweave wrote."
        )
    return parse_card(metadata[HEADER_KEY], source=str(path))


def parse_card(text: str, *, source: str) -> WeightCard:
    """Read a card from JSON.

    Args:
        text: JSON object with the fields of `WeightCard`.
        source: What the error message calls it.

    Raises:
        CheckpointMismatchError: A key is missing, unknown or has a wrong value.
    """
    try:
        return WeightCard.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the card"
        raise CheckpointMismatchError(
            f"The card of {source} is not valid: {where}: {first['msg']}. "
            "The file was written by another version or by hand."
        ) from error


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


PUBLISHED_WV3 = WeightCard(
    name="u2net-wv3-published",
    config=U2NetConfig(bands=8),
    band_names=("coastal", "blue", "green", "yellow", "red", "red edge", "nir1", "nir2"),
    wavelengths=(427, 478, 546, 608, 659, 724, 833, 949),
    full_scale=2047,
    tile=64,
    phase=(2, 2),
    sensor="wv3",
    # The file says nothing of its training; this is the field's simulation (PanCollection).
    pan_degradation="imresize bicubic antialiased, assumed",
    spectral_degradation="MTF gain per band, nearest decimation at phase 2, assumed",
    training_data="PanCollection WorldView-3, 9,000 patches of 64 x 64",
    training_terms="as PanCollection",
    licence="GPL-3.0",
    bandweave=__version__,
)
"""Card of the checkpoint that S. Peng et al. published for WorldView-3, 200,000 iterations."""
