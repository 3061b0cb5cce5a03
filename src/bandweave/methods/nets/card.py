"""The card in the header of a weight file: all that a user of the weights has to know. No torch."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from safetensors import SafetensorError, safe_open

from bandweave import __version__
from bandweave.errors import CheckpointMismatchError
from bandweave.methods.nets.table import NETWORKS, settings_of
from bandweave.methods.nets.u2net_config import U2NetConfig

if TYPE_CHECKING:
    from bandweave.methods.nets.network import NetworkConfig

HEADER_KEY = "bandweave_card"
"""Key of the card in a safetensors file's header."""

RESEARCH_ONLY = "research use only"
"""Licence of weights that learned from material with such terms; never a default."""


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
    architecture: str = "u2net"
    """Key of the network in NETWORKS, and of the method in METHODS."""
    config: dict[str, Any]
    """Settings of the network: band counts, ratio, widths, ... A configuration is taken, too, and
    written out. Loading the weights checks them all; a card alone is read without the network."""
    band_names: tuple[str, ...]
    """Spectral bands in the order the network expects."""
    wavelengths: tuple[float, ...] | None = None
    """Centre wavelengths of these bands in nanometres, or None where not known."""
    full_scale: float = Field(gt=0)
    """Value of the input that maps to 1.0."""
    tile: int = Field(gt=0)
    """Fine pixels per side of the tile the network was trained on; networks whose result depends
    on the tile are run on it, too."""
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
    consistent: bool = False
    """Whether the network was trained with the consistency step behind it, and is run with it."""
    consistency_noise: float = Field(default=1e-3, ge=0)
    """Noise of that step: variance in the MS over that of the error in the network's result."""
    scores: tuple[Score, ...] = ()
    """Measured quality."""
    bandweave: str
    """Version of bandweave that wrote the card."""

    @property
    def bands(self) -> int:
        """Return the bands C of the spectral image."""
        return int(self.config["bands"])

    @property
    def spatial_bands(self) -> int:
        """Return the bands c of the spatial image."""
        return int(self.config["spatial_bands"])

    @property
    def ratio(self) -> int:
        """Return the spatial pixels per spectral pixel."""
        return int(self.config["ratio"])

    @field_validator("architecture")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value not in NETWORKS:
            raise ValueError(f"there is no network {value!r}; known are {', '.join(NETWORKS)}")
        return value

    @field_validator("config", mode="before")
    @classmethod
    def _written_out(cls, value: Any) -> Any:
        return settings_of(cast("NetworkConfig", value)) if is_dataclass(value) else value

    @field_validator("config")
    @classmethod
    def _says_what_it_fuses(cls, value: dict[str, Any]) -> dict[str, Any]:
        for key in ("bands", "spatial_bands", "ratio"):
            if not isinstance(value.get(key), int) or value[key] < 1:
                raise ValueError(f"{key} must be a whole number from 1, got {value.get(key)!r}")
        return value

    @model_validator(mode="after")
    def _fits_itself(self) -> WeightCard:
        for key, listed in (("band_names", self.band_names), ("wavelengths", self.wavelengths)):
            if listed is not None and len(listed) != self.bands:
                raise ValueError(f"{key} lists {len(listed)} bands, the network has {self.bands}")
        if self.tile % self.ratio:
            raise ValueError(f"the tile must be a multiple of {self.ratio}, got {self.tile}")
        return self


def read_card(path: Path) -> WeightCard:
    """Read the card of a weight file; the tensors stay where they are.

    Raises:
        CheckpointMismatchError: The file is damaged, is no safetensors file, or has no valid card.
    """
    with _opened(path) as file:
        metadata: dict[str, str] = file.metadata() or {}
    if HEADER_KEY not in metadata:
        raise CheckpointMismatchError(
            f"{path} holds tensors but no bandweave card, so bands, scale and tile are not known; "
            "use a file that bandweave wrote."
        )
    return parse_card(metadata[HEADER_KEY], source=str(path))


def count_numbers(path: Path) -> int:
    """Return how many numbers the tensors of a weight file hold; they stay where they are.

    Raises:
        CheckpointMismatchError: The file is damaged or is no safetensors file.
    """
    with _opened(path) as file:
        names: list[str] = file.keys()
        return sum(math.prod(file.get_slice(name).get_shape()) for name in names)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a safetensors file, or say what is wrong with it."""
    if not path.is_file():
        raise CheckpointMismatchError(f"There is no weight file {path}.")
    try:
        with safe_open(path, framework="numpy") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise CheckpointMismatchError(
            f"{path} is damaged or no safetensors file ({error}); "
            "fetch it again, or convert a published .pth with `bandweave weights`."
        ) from error


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
    config=settings_of(U2NetConfig(bands=8)),
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
