"""Our own recipes: the paper's blocks on a closed form, with what is known exactly kept exactly."""

from __future__ import annotations

from bandweave.datasets.cave import TRAIN_SCENES
from bandweave.train.config import (
    CaveSource,
    Cosine,
    DataConfig,
    NetworkSpec,
    OptimiserConfig,
    SmallTiles,
    TrainConfig,
)
from bandweave.train.paper_recipes import cave_card

# Held out of the training scenes to choose by; the test scenes choose nothing.
_CAVE_VALIDATION = ("fake_and_real_sushi", "pompoms")


def u2net_cave() -> TrainConfig:
    """Return our recipe for CAVE, x4: the paper's blocks on the closed-form base."""
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
        validate_every=2000,
        card=cave_card("CAVE, 18 of the 20 training scenes of the published split"),
    )
