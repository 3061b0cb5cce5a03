"""Rows of published tables, stored as data: what ours stand beside."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from importlib.resources import files
from typing import Literal

from pydantic import Field, TypeAdapter

from bandweave.report.table import Cell, Row
from bandweave.train.config import Section

PublishedTable = Literal["table1-rr", "table1-fr", "table2", "table3", "table4"]
"""Tables of S. Peng, C. Guo, X. Wu and L.-J. Deng, U2Net, ACM MM 2023; the first in its parts."""


class PublishedRow(Section):
    """One method: mean and standard deviation over the images, by metric id."""

    row: str
    """Key in METHODS, or the variant of an ablation."""
    name: str
    values: dict[str, tuple[float, float]]


class _Published(Section):
    source: str
    images: int = Field(ge=1)
    about: str
    rows: tuple[PublishedRow, ...] = Field(min_length=1)


def published_rows(table: PublishedTable) -> list[Row]:
    """Return the rows of a published table, marked as such."""
    content = _tables()[table]
    return [
        Row(
            id=one.row,
            name=one.name,
            method=one.row,
            cells={
                metric: Cell(mean, std, content.images)
                for metric, (mean, std) in one.values.items()
            },
            is_published=True,
        )
        for one in content.rows
    ]


def published_note(table: PublishedTable) -> str:
    """Say where a published table's rows come from, and what is known of how they were made."""
    content = _tables()[table]
    return f"Published rows: {content.source}, {content.images} images. {content.about}"


@lru_cache(maxsize=1)
def _tables() -> dict[str, _Published]:
    text = files("bandweave").joinpath("bench", "published.toml").read_text("utf-8")
    return TypeAdapter(dict[str, _Published]).validate_python(tomllib.loads(text))
