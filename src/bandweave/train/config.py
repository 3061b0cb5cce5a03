"""What a training run is asked to do: typed, frozen, unknown keys refused. No torch."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from bandweave.run_config import RunConfig

Fraction = Annotated[float, Field(ge=0, le=1)]
Interval = tuple[float, float]
"""Least and greatest value, drawn uniformly between."""


def _rising(ends: tuple[float, float]) -> tuple[float, float]:
    if not ends[0] < ends[1]:
        raise ValueError(f"the second value must be the greater one, got {ends[0]} and {ends[1]}")
    return ends


Part = Annotated[tuple[Fraction, Fraction], AfterValidator(_rising)]
"""First and last, as shares of the whole."""
BandNumbers = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)]
"""Spectral bands to take, counted from 1."""


class Section(BaseModel):
    """A part of a configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NetworkSpec(Section):
    """Which network is trained, and from where it starts."""

    architecture: str = "u2net"
    """Key in NETWORKS."""
    config: dict[str, Any]
    """Fields of the architecture's configuration."""
    start: Literal["default", "interpolation", "base"] = "default"
    """PyTorch's initialisation (the paper's); U2Net made to return plain interpolation; or a last
    convolution of zero, so that step 0 returns the base."""
    weights: str | None = None
    """Name or file of weights to start from instead."""


class Augmentation(Section):
    """What is drawn anew for every simulated version of a scene; each off by default."""

    pan_gain: Interval | None = None
    """MTF of the reduced PAN at its new Nyquist frequency; None for bicubic `imresize`."""
    bicubic_share: Fraction = 0.0
    """Part of the versions whose PAN is made by `imresize` all the same."""
    pan_detail: Interval = (1.0, 1.0)
    """Factor on what a Gaussian of one pixel takes from PANs that come reduced already."""
    gain_factor: Interval = (1.0, 1.0)
    """Factor on the sensor's MTF gains of the spectral bands, one per version."""
    displacement: float = Field(default=0.0, ge=0)
    """Largest displacement of the PAN against the bands, in its reduced pixels."""
    noise: Interval = (0.0, 0.0)
    """Standard deviation of white noise in both images, as a share of the full scale."""
    versions: int = Field(default=1, ge=1)
    """Versions of each scene held at a time."""
    refresh: int = Field(default=0, ge=0)
    """Steps after which the versions are made anew; 0 for never."""


class SceneSource(Section):
    """One pair that is reduced by Wald's protocol, or a simulated one with its reference.

    The images are taken as they lie in the files, first pixel on first pixel.
    """

    kind: Literal["scene"] = "scene"
    spatial: str
    """PAN, or a file that holds both images; relative to the data folder."""
    spectral: str | None = None
    """MS; None where `spatial` holds both."""
    gt: str | None = None
    """Reference on the PAN's grid: the PAN is then already reduced, and only `gt` is degraded."""
    sensor: str
    """Sensor id: MTF gains and full scale."""
    full_scale: float | None = Field(default=None, gt=0)
    """Over the sensor's."""
    bands: BandNumbers | None = None
    skip: tuple[int, int] = (0, 0)
    """Leading PAN rows and columns left out, which registers a displaced delivery."""
    phase: float | None = None
    """Where coarse sample 0 lies in rasters, in fine rows and columns; None for corner-based grids,
    (ratio - 1) / 2. Files of the toolboxes have ratio / 2."""
    rows: Part = (0.0, 1.0)
    """Part of the scene used, so that regions can be held out by geography."""
    columns: Part = (0.0, 1.0)
    weight: float = Field(default=1.0, gt=0)
    """Share of the samples drawn from here, relative to the other sources."""


class FolderSource(Section):
    """All pairs `<scene>_pan.tif`, `<scene>_ms.tif` of a folder, reduced by Wald's protocol.

    Each pair is brought together by its georeferences, as `fuse` does it.
    """

    kind: Literal["folder"] = "folder"
    path: str = "."
    sensor: str
    """Sensor id of all scenes: MTF gains and full scale."""
    full_scale: float | None = Field(default=None, gt=0)
    """Over the files' and the sensor's."""
    bands: BandNumbers | None = None
    rows: Part = (0.0, 1.0)
    """Part of every scene used, so that regions can be held out by geography."""
    columns: Part = (0.0, 1.0)
    weight: float = Field(default=1.0, gt=0)


class PatchSource(Section):
    """An `.h5` of simulated patches in PanCollection's or the hyperspectral layout, read lazily."""

    kind: Literal["patches"] = "patches"
    path: str
    full_scale: float | None = Field(default=None, gt=0)
    """Value that maps to 1.0; None for the file's or the sensor's."""
    sensor: str | None = None
    weight: float = Field(default=1.0, gt=0)


class CaveSource(Section):
    """CAVE scenes by the published protocol, in the archive's folders or as TIFFs."""

    kind: Literal["cave"] = "cave"
    path: str = "."
    scenes: tuple[str, ...]
    """Names, without `_ms`."""
    ratio: Literal[2, 4, 8, 16] = 4
    part: Fraction = 1.0
    """Part of the rows and columns used, about the middle; less than 1 for quick validation."""
    weight: float = Field(default=1.0, gt=0)


class SyntheticSource(Section):
    """Scenes made up by `bandweave.datasets.synthetic`: eight WorldView bands, or some of them."""

    kind: Literal["synthetic"] = "synthetic"
    seeds: Annotated[tuple[int, int], AfterValidator(_rising)]
    """First seed, and the one after the last."""
    size: int = Field(default=256, ge=64, multiple_of=4)
    bands: Annotated[tuple[Annotated[int, Field(ge=1, le=8)], ...], Field(min_length=1)] | None = (
        None
    )
    """Of WorldView-3's eight, counted from 1."""
    is_varied: bool = True
    """Draw MTF gains, PAN blur and noise; otherwise WorldView-3's."""
    weight: float = Field(default=1.0, gt=0)


Source = Annotated[
    SceneSource | FolderSource | PatchSource | CaveSource | SyntheticSource,
    Field(discriminator="kind"),
]


class DataConfig(Section):
    """What is learned from, and what decides which weights are kept."""

    root: str = "."
    """Folder that the sources' paths are relative to; `--data` sets it."""
    training: tuple[Source, ...] = Field(min_length=1)
    validation: tuple[Source, ...] = ()
    """Whole images, fused as `bandweave fuse` does; they share no ground with the training."""
    augmentation: Augmentation = Augmentation()
    symmetries: bool = False
    """Turn and mirror every tile, the same for all images of a pair."""
    phase: tuple[float, float] | None = None
    """Fine index of coarse sample 0 in what is simulated; None for ratio / 2, the toolboxes'."""


class OptimiserConfig(Section):
    """How a gradient becomes a step."""

    kind: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    """Decays of the running means of the Adam family."""
    momentum: Fraction = 0.0
    """Of `sgd`."""
    clip_norm: float | None = Field(default=None, gt=0)
    """Largest norm of the whole gradient; longer ones are shortened."""


class ConstantRate(Section):
    """The learning rate stays."""

    kind: Literal["constant"] = "constant"


class StepDecay(Section):
    """The learning rate is multiplied by `factor` every `every` steps, as the papers do."""

    kind: Literal["step"] = "step"
    every: int = Field(ge=1)
    factor: float = Field(default=0.5, gt=0, le=1)


class Cosine(Section):
    """Linear warm-up, then half a cosine down to `final` of the learning rate."""

    kind: Literal["cosine"] = "cosine"
    warm_up: int = Field(default=100, ge=0)
    final: Fraction = 0.0


Schedule = Annotated[ConstantRate | StepDecay | Cosine, Field(discriminator="kind")]


class SmallTiles(Section):
    """A first part of the schedule on smaller tiles.

    Attention costs the square of a tile's area while its temperature does not depend on the area,
    so most of a short schedule is better spent on small tiles.
    """

    tile: int = Field(default=32, ge=8, multiple_of=4)
    batch: int = Field(default=16, ge=1)
    share: Fraction = 0.9
    """Part of the steps."""


class CardConfig(Section):
    """What the weight file will say of its origin; the rest follows from the configuration."""

    band_names: tuple[str, ...]
    wavelengths: tuple[float, ...] | None = None
    full_scale: float = Field(gt=0)
    sensor: str
    pan_degradation: str
    spectral_degradation: str
    training_data: str
    training_terms: str
    licence: str


LossName = Literal["l1", "mse", "relative_l1", "own"]


class TrainConfig(RunConfig):
    """One training run; its hash names it."""

    name: str
    """Preset, and name of the weights."""
    about: str
    """What the recipe is, where its settings come from, and what it scored once run."""
    network: NetworkSpec
    data: DataConfig
    tile: int = Field(default=64, ge=8, multiple_of=4)
    """Fine pixels per side of the tiles trained on, and the tile of the finished weights."""
    batch: int = Field(default=16, ge=1)
    """Tiles per optimiser step, over all processes and accumulated parts."""
    small_tiles: SmallTiles | None = None
    steps: int = Field(ge=1)
    accumulate: int = Field(default=1, ge=1)
    """Parts that a process's share of the batch is computed in, to save memory."""
    loss: LossName = "l1"
    """Key in LOSSES; `own` is the one that the network's paper defines (BDPN, MUCNN, SSRNet)."""
    border: int = Field(default=0, ge=0)
    """Fine pixels per side of a tile that `l1` and `mse` leave out."""
    epoch: int | None = Field(default=None, ge=1)
    """Steps that count as one epoch, for an own loss that changes with it (BDPN)."""
    optimiser: OptimiserConfig = OptimiserConfig()
    schedule: Schedule = ConstantRate()
    ema: float | None = Field(default=None, gt=0, lt=1)
    """Decay of the running average of the weights, which is then what is validated and kept."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """`bf16` rounds products to bfloat16: on a CPU those of the attention, on a GPU those of all
    layers. Weights, sums, normalisation and the optimiser stay in float32."""
    consistent: bool = False
    """End in the consistency layer: the network changes only what the sensors cannot see."""
    consistency_noise: float = Field(default=0.0, ge=0)
    seed: int = 1
    log_every: int = Field(default=50, ge=1)
    validate_every: int = Field(default=1000, ge=1)
    checkpoint_every: int = Field(default=200, ge=1)
    select_by: Literal["psnr", "sam", "ergas"] = "psnr"
    """Mean over the validation images that decides which weights are the best."""
    card: CardConfig

    @model_validator(mode="after")
    def _fits_itself(self) -> TrainConfig:
        if self.network.start == "base" and not self.network.config.get("base"):
            raise ValueError("a network can start from its base only where its config names one")
        if self.consistent and not self.network.config.get("base"):
            raise ValueError("the consistency layer needs a network on a (consistent) base")
        if self.loss == "relative_l1" and not self.network.config.get("base"):
            raise ValueError("the relative loss needs a network on a base")
        bands = self.network.config.get("bands")
        if bands is not None and bands != len(self.card.band_names):
            raise ValueError(
                f"card.band_names lists {len(self.card.band_names)} bands, network.config.bands is "
                f"{bands}"
            )
        return self

    @property
    def digest(self) -> str:
        """Return what distinguishes this run: SHA-256 of its settings, 12 digits."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]
