"""PUBLISHED_RECIPES: the settings that the baselines' authors or programs state, as plain data.

Networks see DN / full scale in square patches; these are shuffled and not augmented, and the last
incomplete batch of an epoch is dropped. Where the toolbox program departs from the settings that
its model files state, the stated ones are given here, and the departure is among the remarks. The
program's penalty 1e-5 · ½Σ‖w‖² is left out everywhere: it has no gradient.

Losses, with d = fused - gt and means over all elements:

* `l1`: mean |d|; `mse`: mean d².
* `bdpn`: `BDPN.loss`, over two sizes whose weights follow `bdpn.half_weight_at(epoch)`.
* `mucnn`, `ssrnet`: `MUCNN.loss` and `SSRNet.loss`, over several scales and over edges.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Loss = Literal["l1", "mse", "bdpn", "mucnn", "ssrnet"]
Optimiser = Literal["sgd", "adam", "adamw"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDecay:
    """The learning rate is multiplied by `factor` after every `epochs` epochs."""

    epochs: int
    factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedRecipe:
    """How a baseline was trained."""

    architecture: str
    """Key in NETWORKS."""
    config: Mapping[str, int]
    """Keywords of the network's configuration; what is absent keeps its default."""
    loss: Loss
    """Name, see the module's docstring."""
    optimiser: Optimiser
    momentum: float = 0.0
    """Of `sgd`; the Adam family keeps betas of 0.9 and 0.999."""
    learning_rate: float
    """At the start."""
    weight_decay: float = 0.0
    """As the optimiser of this name defines it."""
    schedule: StepDecay | None = None
    """None for a constant learning rate."""
    batch: int
    epochs: int | None = None
    """Passes over the patches; None where the length is given in `steps`."""
    steps: int | None = None
    """Batches drawn at random positions, where the program knows no epochs."""
    patch: int = 64
    """Fine pixels per side of a training patch."""
    clip: float | None = None
    """Largest L2 norm of the gradient of all parameters together, or None."""
    border: int = 0
    """Fine pixels per side of a patch that the loss leaves out."""
    remarks: str = ""
    """Departures between paper and program, and what to do instead where the settings look off."""
    citation: str


# The total norm at which the toolbox's trainer clips, for every network.
_TOOLBOX_CLIP = 10.0
_WV3 = {"bands": 8}
_CAVE = {"bands": 31, "spatial_bands": 3}

PUBLISHED_RECIPES: dict[str, PublishedRecipe] = {
    "pnn-wv3": PublishedRecipe(
        architecture="pnn",
        config=_WV3,
        loss="mse",
        optimiser="sgd",
        momentum=0.9,
        # 1e-4 · 17² · bands
        learning_rate=0.2312,
        batch=64,
        epochs=12_000,
        clip=_TOOLBOX_CLIP,
        border=8,
        remarks=(
            "One learning rate for all layers: the tenth of it that the paper gives the last layer "
            "is built by the program but not used. A rate this high is fragile; Adam with 1e-3 is "
            "the safer choice."
        ),
        citation="Masi, Cozzolino, Verdoliva and Scarpa 2016, Remote Sensing 8(7), 594",
    ),
    "pannet-wv3": PublishedRecipe(
        architecture="pannet",
        config=_WV3,
        loss="mse",
        optimiser="adam",
        learning_rate=1e-3,
        batch=32,
        epochs=450,
        clip=_TOOLBOX_CLIP,
        citation="Yang, Fu, Hu, Huang, Ding and Paisley 2017, ICCV, 1753-1761",
    ),
    "msdcnn-wv3": PublishedRecipe(
        architecture="msdcnn",
        config=_WV3,
        loss="mse",
        optimiser="adam",
        learning_rate=1e-6,
        weight_decay=1e-5,
        schedule=StepDecay(epochs=40, factor=0.5),
        batch=64,
        epochs=500,
        clip=_TOOLBOX_CLIP,
        remarks=(
            "The learning rate of the option file looks like a slip; 1e-4 is the sensible one. The "
            "trainer replaces the factor 0.5 by 0.1."
        ),
        citation="Wei, Yuan, Meng, Shen, Zhang and Ng 2017, IGARSS, 3413-3416",
    ),
    "dicnn-wv3": PublishedRecipe(
        architecture="dicnn",
        config=_WV3,
        loss="mse",
        optimiser="adam",
        learning_rate=2e-4,
        schedule=StepDecay(epochs=1500, factor=0.5),
        batch=64,
        epochs=5000,
        clip=_TOOLBOX_CLIP,
        remarks="The trainer replaces the factor 0.5 by 0.1.",
        citation="He et al. 2019, IEEE JSTARS 12(4), 1188-1204",
    ),
    "fusionnet-wv3": PublishedRecipe(
        architecture="fusionnet",
        config=_WV3,
        loss="mse",
        optimiser="adam",
        learning_rate=3e-4,
        batch=32,
        epochs=400,
        clip=_TOOLBOX_CLIP,
        citation="Deng, Vivone, Jin and Chanussot 2021, IEEE TGRS 59(8), 6995-7010",
    ),
    "bdpn-wv3": PublishedRecipe(
        architecture="bdpn",
        config=_WV3,
        loss="bdpn",
        optimiser="adam",
        learning_rate=1e-4,
        weight_decay=1e-5,
        schedule=StepDecay(epochs=100, factor=0.8),
        batch=8,
        epochs=1000,
        clip=_TOOLBOX_CLIP,
        remarks=(
            "Loss of the authors' own script; the toolbox build takes `mse` of the full size only, "
            "and its trainer replaces the factor 0.8 by 0.1."
        ),
        citation="Zhang, Liu, Sun and Ou 2019, IEEE TGRS 57(8), 5549-5563",
    ),
    "mucnn-wv3": PublishedRecipe(
        architecture="mucnn",
        config=_WV3,
        loss="mucnn",
        optimiser="adam",
        learning_rate=1e-3,
        schedule=StepDecay(epochs=200, factor=0.1),
        batch=32,
        epochs=1200,
        remarks="The file that the authors name for their results is that of epoch 600.",
        citation="Wang, Deng, Zhang and Wu 2021, ACM MM, 4472-4480",
    ),
    "lagnet-wv3": PublishedRecipe(
        architecture="lagnet",
        config=_WV3,
        loss="mse",
        optimiser="adam",
        learning_rate=3e-4,
        batch=32,
        epochs=500,
        citation="Jin, Zhang, Jiang, Vivone and Deng 2022, AAAI",
    ),
    "pmacnet-wv3": PublishedRecipe(
        architecture="pmacnet",
        config=_WV3,
        loss="mse",
        optimiser="adamw",
        learning_rate=1e-3,
        weight_decay=0.01,
        schedule=StepDecay(epochs=50, factor=0.5),
        batch=32,
        epochs=200,
        remarks=(
            "The program stretches the bands to the fine grid (`interpolation='release'`), and not "
            "so in its validation; the 23-tap interpolation stands here, which keeps the geometry."
        ),
        citation="Liang, Zhang, Mei and Wang 2022, IEEE GRSL 19, 1-5",
    ),
    "restfnet-cave": PublishedRecipe(
        architecture="restfnet",
        config=_CAVE,
        loss="mse",
        optimiser="adam",
        learning_rate=1e-4,
        batch=1,
        steps=10_000,
        patch=128,
        remarks=(
            "Settings of the program that hyperspectral papers compare with, which scales every "
            "cube to 0...255 by its own extremes and degrades training and test data in different "
            "ways. With data in [0, 1], L1 and a learning rate halved twice are the better choice. "
            "The paper has L1, batches of 64 and 600 epochs with a rate halved every 250."
        ),
        citation="Liu, Liu and Wang 2020, Information Fusion 55, 1-15",
    ),
    "ssrnet-cave": PublishedRecipe(
        architecture="ssrnet",
        config=_CAVE,
        loss="ssrnet",
        optimiser="adam",
        learning_rate=1e-4,
        batch=1,
        steps=10_000,
        patch=128,
        remarks=(
            "The program scales every cube to 0...255 by its own extremes. It overwrites bands "
            "(`joining='overwrite'`), which suits bands picked from the spectral image; CAVE's RGB "
            "is stacked instead."
        ),
        citation="Zhang, Huang, Wang and Li 2021, IEEE TGRS 59(7), 5953-5965",
    ),
    "fusformer-cave": PublishedRecipe(
        architecture="fusformer",
        config=_CAVE,
        loss="l1",
        optimiser="adam",
        learning_rate=1e-3,
        schedule=StepDecay(epochs=200, factor=0.1),
        batch=3,
        epochs=1000,
        citation="Hu et al. 2022, IEEE GRSL 19, 1-5",
    ),
}
"""Preset -> settings; `<network>-<sensor>`."""
