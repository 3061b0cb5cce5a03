"""PRESETS: named recipes. A preset named like a shipped weight file is the recipe that makes it.

The papers' recipes (`*-paper`, `ablation-*`, and the baselines' `pnn-wv3`, ...) state the published
settings; our own say what they changed, and what they scored once run.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from bandweave.errors import UnknownNameError
from bandweave.train.config import TrainConfig
from bandweave.train.recipes.own import u2net_4band, u2net_cave, u2net_wv
from bandweave.train.recipes.paper import baseline, u2net_paper
from bandweave.train.recipes.published import PUBLISHED_RECIPES

PRESETS: dict[str, Callable[[], TrainConfig]] = {
    "u2net-wv3-paper": partial(u2net_paper, "u2net-wv3-paper", data_set="wv3"),
    "u2net-l-wv3-paper": partial(
        u2net_paper, "u2net-l-wv3-paper", data_set="wv3", width=12, head_width=6
    ),
    "u2net-gf2-paper": partial(u2net_paper, "u2net-gf2-paper", data_set="gf2"),
    "u2net-cave-paper": partial(u2net_paper, "u2net-cave-paper", data_set="cave", width=64),
    **{
        f"ablation-{variant}": partial(
            u2net_paper, f"ablation-{variant}", data_set="wv3", variant=variant
        )
        for variant in ("v1", "v2", "v3", "v4")
    },
    **{name: partial(baseline, name) for name in PUBLISHED_RECIPES},
    "u2net-cave": u2net_cave,
    "u2net-wv": partial(u2net_wv, is_light=False),
    "u2net-l-wv": partial(u2net_wv, is_light=True),
    "u2net-4band": partial(u2net_4band, is_light=False),
    "u2net-l-4band": partial(u2net_4band, is_light=True),
}
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
