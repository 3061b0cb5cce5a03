"""Our own recipes: the paper's blocks on a closed form, with what is known exactly kept exactly.

The data folders are those that the sources' file names lie in. Parts of scenes are held out by
geography, always the last columns; the published test sets enter nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from bandweave.datasets.cave import TRAIN_SCENES
from bandweave.methods.nets.card import RESEARCH_ONLY
from bandweave.sensors import find_sensor
from bandweave.train.config import (
    Augmentation,
    CardConfig,
    CaveSource,
    Cosine,
    DataConfig,
    NetworkSpec,
    OptimiserConfig,
    SceneSource,
    SmallTiles,
    Source,
    SyntheticSource,
    TrainConfig,
)
from bandweave.train.recipes.paper import cave_card, sensor_wavelengths

# Held out of the training scenes to choose by; the test scenes choose nothing.
_CAVE_VALIDATION = ("fake_and_real_sushi", "pompoms")

# Columns of each scene that are learned from, as a share; the rest is held out.
_LEARNED = 0.75
_FOUR = (2, 3, 5, 7)
_HALF_SCALE = ("wv3_munich_urban", "wv3_munich_natural", "wv2_miami_urban")
_OUTCOMES = {
    "u2net-wv": "PSNR 43.63 dB, SAM 2.995, ERGAS 2.032 on the held-out parts (docs/models.md).",
    "u2net-4band": "PSNR 39.75 dB, SAM 1.877, ERGAS 1.756 on the held-out parts (docs/models.md).",
    "u2net-l-wv": "PSNR 40.12 dB, SAM 3.146, ERGAS 1.687 on the held-out part (docs/models.md).",
    "u2net-l-4band": "PSNR 40.11 dB, SAM 3.015, ERGAS 1.886 on the held-out part (docs/models.md).",
}
_FREE_TERMS = "simulated scenes: none; SpaceNet 2: CC BY-SA 4.0, imagery DigitalGlobe/Maxar"

# So wide that a network cannot depend on one recipe of simulation: PANs from soft to as sharp as
# the real ones of published test files, instruments from a tenth below to a tenth above the table.
_VARIED = Augmentation(
    pan_gain=(0.08, 0.55),
    bicubic_share=0.3,
    gain_factor=(0.9, 1.1),
    displacement=0.1,
    noise=(0.0, 0.001),
    versions=4,
    refresh=600,
)
# For many scenes, of which some come with a reduced PAN.
_VARIED_SCENES = _VARIED.model_copy(
    update={"pan_detail": (0.2, 1.9), "versions": 2, "refresh": 1200}
)


def u2net_cave() -> TrainConfig:
    """Return our recipe for CAVE, x4: the paper's blocks on the closed-form base."""
    training = tuple(name for name in TRAIN_SCENES if name not in _CAVE_VALIDATION)
    return _for_two_cores(
        name="u2net-cave",
        about=(
            "The paper's blocks (S = 32, S' = 16) on six consistent local regressions, which they "
            "weigh against each other and refine, with the consistency layer last. Made for two "
            "CPU cores: most steps on 32-pixel tiles, the last tenth on the tile of the finished "
            "weights. The shipped file is that of step 6,997: PSNR 51.82 dB, SAM 1.102, ERGAS "
            "0.899 on the held-out halves (docs/models.md)."
        ),
        network=NetworkSpec(
            architecture="u2net_ensemble",
            config={
                "bands": 31,
                "spatial_bands": 3,
                "width": 32,
                "base": "regression_ensemble",
                "members": 6,
            },
        ),
        data=DataConfig(
            training=(CaveSource(scenes=training),),
            validation=(CaveSource(scenes=_CAVE_VALIDATION, part=0.5),),
            symmetries=True,
        ),
        noise=0.0,
        steps=7_500,
        validate_every=1_500,
        learning_rate=1.5e-3,
        card=cave_card("CAVE, 18 of the 20 training scenes of the published split"),
    )


def u2net_wv(*, is_light: bool) -> TrainConfig:
    """Return our recipe for eight WorldView bands, for PANs of any sharpness.

    Args:
        is_light: The light network, from sources whose terms allow any use.
    """
    chip = SceneSource(
        spatial="wv3_spacenet_shanghai_pan.tif",
        spectral="wv3_spacenet_shanghai_ms.tif",
        sensor="wv3",
        # The PAN lies three rows lower than its grid says.
        skip=(3, 0),
        columns=(0.0, _LEARNED),
        weight=2.0,
    )
    real: tuple[SceneSource, ...] = (
        () if is_light else tuple(_half_scale(name) for name in _HALF_SCALE)
    )
    made = SyntheticSource(seeds=(1000, 1060), weight=2.0)
    return _pansharpening(
        "u2net-l-wv" if is_light else "u2net-wv",
        (chip, *real, made),
        validated=(chip, *real),
        augmentation=_VARIED,
        sensor="wv3",
        full_scale=2047.0,
        is_light=is_light,
        training_data="SpaceNet 2 Shanghai, one chip; scenes of bandweave.datasets.synthetic"
        + ("" if is_light else "; PAirMax samples of Munich and Miami, half scale"),
        terms=_FREE_TERMS if is_light else f"{_FREE_TERMS}; PAirMax: Maxar's sample terms",
    )


def u2net_4band(*, is_light: bool) -> TrainConfig:
    """Return our recipe for blue, green, red and near infrared, for PANs of any sharpness.

    Args:
        is_light: The light network, from sources whose terms allow any use.
    """
    made = SyntheticSource(seeds=(2000, 2060), bands=_FOUR, weight=2.0)
    chip = SceneSource(
        spatial="wv3_spacenet_shanghai_pan.tif",
        spectral="wv3_spacenet_shanghai_ms.tif",
        sensor="wv3",
        bands=_FOUR,
        skip=(3, 0),
        columns=(0.0, _LEARNED),
        weight=2.0,
    )
    scenes = () if is_light else _four_band_scenes()
    return _pansharpening(
        "u2net-l-4band" if is_light else "u2net-4band",
        (made, chip, *scenes),
        validated=(chip, *scenes[:3]),
        augmentation=_VARIED_SCENES,
        sensor="gf2",
        full_scale=1023.0,
        is_light=is_light,
        training_data="SpaceNet 2 Shanghai, four bands of one chip; scenes of "
        "bandweave.datasets.synthetic"
        + (
            ""
            if is_light
            else "; GaoFen-2, GeoEye-1, WorldView-4 and QuickBird samples; four bands of PAirMax "
            "samples of Munich and Miami, half scale"
        ),
        terms=_FREE_TERMS
        if is_light
        else f"{_FREE_TERMS}; PAirMax: Maxar's sample terms; UCGAN, SFNLR, "
        "LRTCFPan, ABFNet: none stated, so research use",
    )


def _four_band_scenes() -> tuple[SceneSource, ...]:
    """Return the real scenes: every processing chain at hand, so that none becomes the rule.

    A network that had seen GaoFen-2 of one chain alone was worse than its own closed forms on files
    of others.
    """
    return (
        *(
            SceneSource(
                spatial=f"train4/gf2_{name}_rr.mat",
                sensor="gf2",
                full_scale=1023.0,
                columns=(0.0, _LEARNED),
                weight=2.0,
            )
            for name in ("lrtcf_guangzhou", "sfnlr")
        ),
        *(
            _reduced(f"gf2_psdata3_rr{part}", "gf2", 1023.0, weight=0.4)
            for part in ("train0", "train1", "train2", "train3", "train4", "test0", "test1")
        ),
        *(
            SceneSource(
                spatial=f"train4/gf2_psdata3_fr{part}_pan.tif",
                spectral=f"train4/gf2_psdata3_fr{part}_ms.tif",
                sensor="gf2",
                columns=(0.0, _LEARNED),
                weight=0.4,
            )
            for part in range(5)
        ),
        *(_reduced(f"pairmax_ge_{place}", "ge1", 2047.0) for place in ("lond_urb", "tren_urb")),
        *(_reduced(f"pairmax_w4_mexi_{kind}", "wv4", 2047.0) for kind in ("nat", "urb")),
        SceneSource(
            spatial="train4/qb_abf_fr_pan.tif",
            spectral="train4/qb_abf_fr_ms.tif",
            sensor="qb",
            phase=1.0,
            columns=(0.0, _LEARNED),
        ),
        *(_half_scale(name).model_copy(update={"bands": _FOUR}) for name in _HALF_SCALE),
    )


def _pansharpening(
    name: str,
    sources: tuple[Source, ...],
    *,
    validated: Sequence[SceneSource],
    augmentation: Augmentation,
    sensor: str,
    full_scale: float,
    is_light: bool,
    training_data: str,
    terms: str,
) -> TrainConfig:
    bands = find_sensor(sensor).bands
    widths = {"width": 12, "head_width": 6} if is_light else {"width": 32, "head_width": 16}
    return _for_two_cores(
        name=name,
        about=(
            "The paper's blocks on four consistent classical methods, which they weigh against "
            "each other and refine, with the consistency layer last and every kind of PAN. "
            + _OUTCOMES[name]
        ),
        network=NetworkSpec(
            architecture="u2net_ensemble",
            config={
                "bands": len(bands),
                "spatial_bands": 1,
                **widths,
                "base": "classical_ensemble",
                "members": 4,
            },
        ),
        data=DataConfig(
            training=sources,
            validation=tuple(
                source.model_copy(update={"columns": (_LEARNED, 1.0)}) for source in validated
            ),
            augmentation=augmentation,
            symmetries=True,
        ),
        noise=1e-3,
        # A light network has learned what it can by then, with one real chip to learn from.
        steps=4_000 if is_light else 6_500,
        validate_every=500 if is_light else 1_500,
        learning_rate=1.5e-3,
        precision="bf16",
        card=CardConfig(
            band_names=tuple(band.name for band in bands),
            wavelengths=sensor_wavelengths(find_sensor(sensor)),
            full_scale=full_scale,
            sensor=sensor,
            pan_degradation="MTF gains of 0.08 to 0.55, or imresize bicubic; displaced by up to a "
            "tenth of a pixel; noise",
            spectral_degradation="MTF gains of the sensors times 0.9 to 1.1, phase 2, noise",
            training_data=training_data,
            training_terms=terms,
            licence="CC-BY-SA-4.0" if is_light else RESEARCH_ONLY,
        ),
    )


def _for_two_cores(
    *,
    name: str,
    about: str,
    network: NetworkSpec,
    data: DataConfig,
    noise: float,
    steps: int,
    validate_every: int,
    learning_rate: float,
    card: CardConfig,
    precision: Literal["fp32", "bf16"] = "fp32",
) -> TrainConfig:
    """Return a run of a few hours on two cores: most steps on small tiles, the layer last."""
    return TrainConfig(
        name=name,
        about=about,
        network=network,
        data=data,
        tile=64,
        batch=2,
        small_tiles=SmallTiles(tile=32, batch=8, share=0.9),
        steps=steps,
        loss="relative_l1",
        optimiser=OptimiserConfig(kind="adamw", learning_rate=learning_rate, clip_norm=1.0),
        schedule=Cosine(warm_up=200),
        ema=0.999,
        precision=precision,
        consistent=True,
        consistency_noise=noise,
        validate_every=validate_every,
        card=card,
    )


def _half_scale(name: str) -> SceneSource:
    return SceneSource(
        spatial=f"{name}_halfscale_pan.tif",
        spectral=f"{name}_halfscale_ms.tif",
        sensor=name[:3],
        phase=2.0,
        columns=(0.0, _LEARNED),
    )


def _reduced(name: str, sensor: str, full_scale: float, weight: float = 1.0) -> SceneSource:
    """Return a scene whose PAN is reduced already."""
    return SceneSource(
        spatial=f"train4/{name}_pan.tif",
        gt=f"train4/{name}_gt.tif",
        sensor=sensor,
        full_scale=full_scale,
        columns=(0.0, _LEARNED),
        weight=weight,
    )
