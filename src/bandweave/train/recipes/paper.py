"""The recipes of the papers: U2Net's own, its ablations, and the baselines of its tables.

Steps are epochs times full batches: 9,000 WorldView-3 patches for training (10,000, of which nine
tenths), 3,136 CAVE patches (3,920, of which four fifths). Nothing but the length follows from these
counts, so that sets of other sizes train as long.
"""

from __future__ import annotations

from dataclasses import dataclass

from bandweave.datasets.cave import WAVELENGTHS
from bandweave.methods.nets.card import RESEARCH_ONLY
from bandweave.sensors import Sensor, find_sensor
from bandweave.train.config import (
    CardConfig,
    ConstantRate,
    DataConfig,
    LossName,
    NetworkSpec,
    OptimiserConfig,
    PatchSource,
    StepDecay,
    TrainConfig,
)
from bandweave.train.recipes.published import PUBLISHED_RECIPES

_PATCHES = {"wv3": 9000, "gf2": 9000, "cave": 3136}
_OUTCOME = "Not run yet; the suites paper-table1 to -table4 print the paper's scores beside ours."


@dataclass(frozen=True, slots=True)
class PaperData:
    """A published data set, as its files and cards describe it."""

    sources: DataConfig
    card: CardConfig


def paper_data(data_set: str) -> PaperData:
    """Return the files and the card of `wv3`, `gf2` (PanCollection) or `cave`."""
    if data_set == "cave":
        card = cave_card("CAVE, 20 training scenes of the published split, 64-pixel patches")
        files = ("train.h5", "valid.h5")
        return PaperData(_patches(*files, full_scale=1.0, sensor=None), card)
    sensor = find_sensor(data_set)
    scale = {"wv3": 2047.0, "gf2": 1023.0}[data_set]
    name = {"wv3": "WorldView-3", "gf2": "GaoFen-2"}[data_set]
    card = CardConfig(
        band_names=tuple(band.name for band in sensor.bands),
        wavelengths=sensor_wavelengths(sensor),
        full_scale=scale,
        sensor=data_set,
        pan_degradation="imresize bicubic antialiased",
        spectral_degradation="MTF gain per band, nearest decimation at phase 2",
        training_data=f"PanCollection {name}, patches of 64 x 64",
        training_terms="as PanCollection",
        licence="as PanCollection",
    )
    files = (f"train_{data_set}.h5", f"valid_{data_set}.h5")
    return PaperData(_patches(*files, full_scale=scale, sensor=data_set), card)


def u2net_paper(
    name: str, *, data_set: str, width: int = 32, head_width: int = 16, variant: str = "full"
) -> TrainConfig:
    """Return the paper's recipe for U2Net (S. Peng et al., 2023, sections 4.1 and 5.1).

    Args:
        name: Of the preset.
        data_set: `wv3`, `gf2` or `cave`.
        width: S.
        head_width: S'.
        variant: `full`, or an ablation `v1` to `v4`.
    """
    data = paper_data(data_set)
    is_cave = data_set == "cave"
    batch = 8 if is_cave else 16
    per_epoch = _PATCHES[data_set] // batch
    bands = len(data.card.band_names)
    return TrainConfig(
        name=name,
        about=(
            "S. Peng, C. Guo, X. Wu and L.-J. Deng (2023), "
            + (
                "section 5.1: 500 epochs, Adam 3e-4, halved every 50 epochs, batches of 8."
                if is_cave
                else "section 4.1: 360 epochs (the weights were published after 200,000 steps), "
                "Adam 1e-3, halved every 100 epochs, batches of 16."
            )
            + f" {_OUTCOME}"
        ),
        network=NetworkSpec(
            config={
                "bands": bands,
                "spatial_bands": 3 if is_cave else 1,
                "width": width,
                "head_width": head_width,
                "variant": variant,
            }
        ),
        data=data.sources,
        batch=batch,
        steps=500 * per_epoch if is_cave else 200_000,
        optimiser=OptimiserConfig(learning_rate=3e-4 if is_cave else 1e-3),
        schedule=StepDecay(every=(50 if is_cave else 100) * per_epoch),
        validate_every=10 * per_epoch,
        checkpoint_every=1000,
        card=data.card,
    )


def baseline(name: str) -> TrainConfig:
    """Return a baseline's published settings as a run.

    Args:
        name: Key in PUBLISHED_RECIPES, `<network>-<data set>`.
    """
    recipe = PUBLISHED_RECIPES[name]
    data_set = name.rsplit("-", 1)[1]
    data = paper_data(data_set)
    per_epoch = _PATCHES[data_set] // recipe.batch
    steps = recipe.steps if recipe.epochs is None else recipe.epochs * per_epoch
    assert steps is not None
    loss: LossName = recipe.loss if recipe.loss in ("l1", "mse") else "own"
    schedule = (
        ConstantRate()
        if recipe.schedule is None
        else StepDecay(every=recipe.schedule.epochs * per_epoch, factor=recipe.schedule.factor)
    )
    return TrainConfig(
        name=name,
        about=" ".join(filter(None, (f"{recipe.citation}.", recipe.remarks, _OUTCOME))),
        network=NetworkSpec(architecture=recipe.architecture, config=dict(recipe.config)),
        data=data.sources,
        tile=recipe.patch,
        batch=recipe.batch,
        steps=steps,
        loss=loss,
        border=recipe.border,
        epoch=per_epoch if recipe.loss == "bdpn" else None,
        optimiser=OptimiserConfig(
            kind=recipe.optimiser,
            learning_rate=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            momentum=recipe.momentum,
            clip_norm=recipe.clip,
        ),
        schedule=schedule,
        validate_every=10 * per_epoch,
        checkpoint_every=1000,
        card=data.card,
    )


def cave_card(training_data: str) -> CardConfig:
    """Return what cards say of weights for CAVE's protocol."""
    return CardConfig(
        band_names=tuple(f"{nm} nm" for nm in WAVELENGTHS),
        wavelengths=tuple(float(nm) for nm in WAVELENGTHS),
        full_scale=1.0,
        sensor="CAVE's protocol: Nikon D700 and a 3 x 3 Gaussian point spread",
        pan_degradation="RGB by the Nikon D700's response, rows divided by their sums",
        spectral_degradation="3 x 3 Gaussian of sigma 0.5, every 4th pixel from index 2, no noise",
        training_data=training_data,
        training_terms="CAVE (F. Yasuma et al., 2010): research use, cite the authors",
        licence=RESEARCH_ONLY,
    )


def sensor_wavelengths(sensor: Sensor) -> tuple[float, ...] | None:
    """Return the centre wavelengths of a sensor in nanometres, or None if one is unknown."""
    known = [band.wavelength for band in sensor.bands]
    found = tuple(wavelength for wavelength in known if wavelength is not None)
    return found if len(found) == len(known) else None


def _patches(train: str, valid: str, *, full_scale: float, sensor: str | None) -> DataConfig:
    return DataConfig(
        training=(PatchSource(path=train, full_scale=full_scale, sensor=sensor),),
        validation=(PatchSource(path=valid, full_scale=full_scale, sensor=sensor),),
    )
