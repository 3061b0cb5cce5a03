"""PRESETS: named recipes. A preset named like a shipped weight file is the recipe that makes it.

The papers' recipes state the published settings; our own say what they changed, and all say what
they scored once run.
"""

from __future__ import annotations

from collections.abc import Callable

from bandweave.datasets.cave import TRAIN_SCENES, WAVELENGTHS
from bandweave.errors import UnknownNameError
from bandweave.train.config import (
    CardConfig,
    CaveSource,
    Cosine,
    DataConfig,
    NetworkSpec,
    OptimiserConfig,
    SmallTiles,
    TrainConfig,
)

_CAVE_CARD = CardConfig(
    band_names=tuple(f"{nm} nm" for nm in WAVELENGTHS),
    wavelengths=tuple(float(nm) for nm in WAVELENGTHS),
    full_scale=1.0,
    sensor="CAVE's protocol: Nikon D700 and a 3 x 3 Gaussian point spread",
    pan_degradation="RGB by the Nikon D700's response, rows divided by their sums",
    spectral_degradation="3 x 3 Gaussian of sigma 0.5, every 4th pixel from index 2, no noise",
    training_data="CAVE, training scenes of the published split",
    training_terms="CAVE (F. Yasuma et al., 2010): research use, cite the authors",
    licence="research use only",
)

# Held out of the training scenes to choose by; the test scenes choose nothing.
_CAVE_VALIDATION = ("fake_and_real_sushi", "pompoms")


def u2net_cave() -> TrainConfig:
    """Our recipe for CAVE, x4: the paper's blocks on the closed-form base."""
    training = tuple(name for name in TRAIN_SCENES if name not in _CAVE_VALIDATION)
    return TrainConfig(
        name="u2net-cave",
        about=(
            "The paper's blocks (S = 32, S' = 16) on the consistent local regression, which "
            "replaces the learned up-sampling, with the consistency layer last. Made for two CPU "
            "cores: most steps on 32-pixel tiles, the last tenth on the tile of the finished "
            "weights."
        ),
        network=NetworkSpec(
            architecture="u2net",
            config={"bands": 31, "spatial_bands": 3, "width": 32, "base": "local_regression"},
            start="base",
        ),
        data=DataConfig(
            training=(CaveSource(scenes=training),),
            validation=(CaveSource(scenes=_CAVE_VALIDATION, part=0.5),),
            symmetries=True,
        ),
        tile=64,
        batch=2,
        small_tiles=SmallTiles(tile=32, batch=8, share=0.9),
        steps=14_000,
        loss="relative_l1",
        optimiser=OptimiserConfig(kind="adamw", learning_rate=6e-4, clip_norm=1.0),
        schedule=Cosine(warm_up=200),
        ema=0.999,
        consistent=True,
        consistency_noise=0.0,
        validate_every=1000,
        card=_CAVE_CARD,
    )


PRESETS: dict[str, Callable[[], TrainConfig]] = {"u2net-cave": u2net_cave}
"""Name -> recipe."""


def find_preset(name: str) -> TrainConfig:
    """Return a recipe by name.

    Raises:
        UnknownNameError: There is none of that name; the message lists the names.
    """
    if name not in PRESETS:
        raise UnknownNameError(
            f"There is no preset {name!r}, nor such a file; presets are {', '.join(PRESETS)}."
        )
    return PRESETS[name]()
