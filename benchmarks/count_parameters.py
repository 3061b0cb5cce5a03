"""Count the parameters of every network: prints the tables of docs/models.md.

    python benchmarks/count_parameters.py

A count is of what takes part in the forward pass; in brackets what the published class holds,
where it holds more.
"""

from __future__ import annotations

from typing import Any

from bandweave.errors import CheckpointMismatchError
from bandweave.methods.nets.network import FusionNetwork
from bandweave.methods.nets.table import NETWORKS

BANDS = ((8, 1), (4, 1), (31, 3))
"""Spectral and spatial bands: WorldView-3, four bands, CAVE."""

LIGHT: dict[str, Any] = {"width": 12, "head_width": 6}
VARIANTS: dict[str, dict[str, Any]] = {
    "U2Net, S = 32": {},
    "U2Net, S = 64 (paper, CAVE)": {"width": 64},
    "U2Net-L, S = 12, S' = 6": LIGHT,
    "U2Net-L on BT-H alone": LIGHT | {"base": "bt_h"},
    "V1: one branch": {"variant": "v1"},
    "V2: concatenation": {"variant": "v2"},
    "V3: spatial correlation only": {"variant": "v3"},
    "V4: spectral correlation only": {"variant": "v4"},
}


def counts(network: str, settings: dict[str, Any]) -> list[str]:
    """Return one cell per pair of band counts."""
    cells = []
    for bands, spatial_bands in BANDS:
        try:
            model = _built(network, bands, spatial_bands, settings)
        except CheckpointMismatchError:  # takes one spatial band only
            cells.append("none")
            continue
        used = sum(parameter.numel() for parameter in model.parameters())
        held = used + model.unused_as_published
        cells.append(f"{used:,}" if held == used else f"{used:,} ({held:,})")
    return cells


def reach(network: str) -> str:
    """Return what a result depends on, in words."""
    model = _built(network, 8, 1, {})
    if model.receptive_radius is None:
        return "the tile"
    return f"{model.receptive_radius} pixels around"


def _built(network: str, bands: int, spatial_bands: int, settings: dict[str, Any]) -> FusionNetwork:
    required = {"bands": bands, "spatial_bands": spatial_bands, "ratio": 4}
    return NETWORKS[network].build(required | settings, source="The table")


def networks() -> str:
    """Return the table of all networks with their published widths."""
    rows = [
        [f"`{name}`", *counts(name, {}), reach(name), _start(name)]
        for name in NETWORKS
    ]  # fmt: skip
    return _markdown(["network", "8 + 1 bands", "4 + 1", "31 + 3", "sees", "starts from"], rows)


def variants() -> str:
    """Return the table of U2Net's widths and ablations."""
    rows = [[name, *counts("u2net", settings)] for name, settings in VARIANTS.items()]
    return _markdown(["U2Net", "8 + 1 bands", "4 + 1", "31 + 3"], rows)


def _start(network: str) -> str:
    base = _built(network, 8, 1, {}).base
    return "the bands" if base is None else f"`{base}`"


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


TABLES = {"networks": networks, "variants": variants}
"""Name in the document -> table."""


if __name__ == "__main__":
    for name, table in TABLES.items():
        print(f"{name}\n\n{table()}\n")
