"""What the configurations of the networks have in common; needs no torch."""

from __future__ import annotations

from dataclasses import dataclass, fields

from pydantic import ConfigDict, with_config


@with_config(ConfigDict(extra="forbid"))  # in weight cards, unknown keys are refused
@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """Bands and ratio of a network; subclasses add its widths and switches.

    Raises:
        ValueError: A band count, the ratio or a width is below 1.
    """

    bands: int
    """Bands C of the spectral image."""
    spatial_bands: int = 1
    """Bands c of the spatial image: 1 for PAN, 3 for RGB."""
    ratio: int = 4
    """Spatial pixels per spectral pixel."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int) and not isinstance(value, bool) and value < 1:
                raise ValueError(f"{field.name} must be 1 or more, got {value}.")
