"""What every fusion network has in common: its inputs, what it starts from, how far it sees."""

from __future__ import annotations

from typing import ClassVar, Protocol

from torch import Tensor, nn

from bandweave.errors import BandCountError, ShapeError


class NetworkConfig(Protocol):
    """Architecture of a network: a frozen dataclass that refuses unknown keys."""

    @property
    def bands(self) -> int:
        """Return the bands C of the spectral image."""
        ...

    @property
    def spatial_bands(self) -> int:
        """Return the bands c of the spatial image."""
        ...

    @property
    def ratio(self) -> int:
        """Return the spatial pixels per spectral pixel."""
        ...


class FusionNetwork(nn.Module):
    """A network that fuses batches of image pairs in the unit range.

    Subclasses set `config_type`, `config` and what of the declarations below differs, and define
    `forward(spatial, spectral, start)`:

    * `spatial`: `(B, c, H, W)`, unit range;
    * `spectral`: `(B, C, H/ratio, W/ratio)`, unit range;
    * `start`: `(B, M C, H, W)`, unit range: the result of the method `base` on the same pairs, or
      None where `base` is None; where M = `members` is not 1, the estimates whose mean it is;
    * result: `(B, C, H, W)`, unit range, clamped only where the paper does.
    """

    config_type: ClassVar[type]
    """Class of `config`."""
    base: str | None = None
    """Key in METHODS of the closed form whose result is handed in as `start`; `exp` is the 23-tap
    interpolation that the field calls `ms_up` or `lms`."""
    members: int = 1
    """Estimates of the method `base` that the network is handed one by one; 1 for its result."""
    receptive_radius: int | None = None
    """Fine pixels per side that a result depends on (input to output, `start` included); None where
    it depends on the whole tile, through attention or pooling."""
    stride: int = 1
    """Rows and columns, and the origins of tiles, must be multiples of this."""
    bears_bf16: bool = False
    """Whether products of its attention in bfloat16 were measured to cost less than 0.02 dB."""
    config: NetworkConfig

    @property
    def unused_as_published(self) -> int:
        """Return the parameters that the published class holds besides these and never uses."""
        return 0

    def check(self, spatial: Tensor, spectral: Tensor, start: Tensor | None) -> None:
        """Refuse inputs that the layers would refuse less legibly, or not at all.

        Raises:
            BandCountError: The band counts are not those of the configuration.
            ShapeError: The sizes do not fit the ratio or the network's stride, or `start` is not
                given exactly where it is needed.
        """
        config = self.config
        if (spatial.shape[1], spectral.shape[1]) != (config.spatial_bands, config.bands):
            raise BandCountError(
                f"This network fuses {config.spatial_bands} spatial and {config.bands} spectral "
                f"bands, got {spatial.shape[1]} and {spectral.shape[1]}."
            )
        height, width = spatial.shape[2:]
        if height % self.stride or width % self.stride:
            raise ShapeError(
                f"Rows and columns must be multiples of {self.stride}, got {height} x {width}: "
                "cut or fill the image to whole tiles."
            )
        expected = (height // config.ratio, width // config.ratio)
        if tuple(spectral.shape[2:]) != expected:
            raise ShapeError(
                f"At ratio {config.ratio} a spatial image of {height} x {width} needs a spectral "
                f"image of {expected[0]} x {expected[1]}, "
                f"got {spectral.shape[2]} x {spectral.shape[3]}."
            )
        if (start is None) != (self.base is None):
            raise ShapeError(
                "This network takes no image to start from."
                if self.base is None
                else f"This network starts from the result of {self.base!r}, which is missing."
            )
        bands = config.bands * self.members
        if start is not None and start.shape[1:] != (bands, height, width):
            raise ShapeError(
                f"The image to start from must be {bands} x {height} x {width}, "
                f"got {tuple(start.shape[1:])}."
            )


def base_of(start: Tensor, bands: int) -> Tensor:
    """Return the image that a network starts from, `(B, C, H, W)`: the mean of its members."""
    return start if start.shape[1] == bands else split_members(start, bands).mean(1)


def split_members(start: Tensor, bands: int) -> Tensor:
    """Return `(B, M, C, H, W)` from `(B, M C, H, W)`."""
    return start.reshape(start.shape[0], -1, bands, *start.shape[2:])


class RefiningNetwork(FusionNetwork):
    """A network that starts from the bands interpolated to the fine grid.

    Subclasses define `refine`, which is only called with inputs that fit.
    """

    base = "exp"

    def forward(self, spatial: Tensor, spectral: Tensor, start: Tensor | None = None) -> Tensor:
        """Return the fused images `(B, C, H, W)`, unit range, not clamped from above.

        Args:
            spatial: `(B, c, H, W)`, unit range; H and W are multiples of the network's stride.
            spectral: `(B, C, H/ratio, W/ratio)`, unit range.
            start: `(B, C, H, W)`, unit range: `spectral` on the fine grid.

        Raises:
            BandCountError: The band counts are not those of the configuration.
            ShapeError: The sizes do not fit each other or the stride, or `start` is missing.
        """
        self.check(spatial, spectral, start)
        assert start is not None
        return self.refine(spatial, spectral, start)

    def refine(self, spatial: Tensor, spectral: Tensor, start: Tensor) -> Tensor:
        """Return what `forward` returns, of its arguments."""
        raise NotImplementedError


class EnlargingNetwork(FusionNetwork):
    """A network that brings the bands to the fine grid itself.

    Subclasses define `combine`, which is only called with inputs that fit.
    """

    def forward(self, spatial: Tensor, spectral: Tensor, start: Tensor | None = None) -> Tensor:
        """Return the fused images `(B, C, H, W)`, unit range, clamped only where the paper does.

        Args:
            spatial: `(B, c, H, W)`, unit range; H and W are multiples of the network's stride.
            spectral: `(B, C, H/ratio, W/ratio)`, unit range.
            start: None.

        Raises:
            BandCountError: The band counts are not those of the configuration.
            ShapeError: The sizes do not fit each other or the stride, or `start` is given.
        """
        self.check(spatial, spectral, start)
        return self.combine(spatial, spectral)

    def combine(self, spatial: Tensor, spectral: Tensor) -> Tensor:
        """Return what `forward` returns, of its arguments."""
        raise NotImplementedError
