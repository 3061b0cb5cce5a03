"""What a benchmark runs: methods, data, protocols; typed, frozen, unknown keys refused."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from bandweave.bench.published import PublishedTable
from bandweave.errors import ConfigError, UnknownNameError
from bandweave.methods.table import find_method
from bandweave.metrics.protocol import Protocol, find_protocol
from bandweave.run_config import RunConfig
from bandweave.train.config import CaveSource, SceneSource, Section, SyntheticSource

SUITES = (
    "smoke",
    "gf2",
    "paper-table1",
    "paper-table2",
    "paper-table3",
    "paper-table4",
    "nop",
    "learned-first",
    "learned-first-cave",
)
"""Suites that are shipped, in the package's folder `bench/suites`."""


class PairsSource(Section):
    """A `.mat` pair or an `.h5` set as its file has it, with or without references."""

    kind: Literal["pairs"] = "pairs"
    path: str
    """Relative to the data folder."""
    sensor: str
    full_scale: float | None = Field(default=None, gt=0)
    """Over the file's and the sensor's."""
    images: tuple[int, ...] | None = None
    """Numbers of the pairs to take, from 0; None for all."""


BenchSource = Annotated[
    PairsSource | SceneSource | CaveSource | SyntheticSource, Field(discriminator="kind")
]


class BenchData(Section):
    """Images that one table is about, and how they are scored."""

    id: str
    title: str
    """Heading of the table."""
    protocol: str
    """Key in PROTOCOLS; `dlpan-fr` scores without reference."""
    metrics: tuple[str, ...] = Field(min_length=1)
    """Of the protocol's, in the order of the table."""
    sources: tuple[BenchSource, ...] = Field(min_length=1)
    published: PublishedTable | None = None
    """Rows from a paper to stand beside ours."""
    kept: int = Field(default=4, ge=0)
    """Images whose fused results are kept for figures and report, the first ones; 0 for none."""

    @model_validator(mode="after")
    def _has_a_protocol(self) -> BenchData:
        protocol = self.resolved_protocol
        if protocol.kind == "reprojection":
            raise ValueError(f"protocol {protocol.id} is for files; take one of kind rr or fr")
        unknown = [name for name in self.metrics if name not in protocol.metrics]
        if unknown:
            raise ValueError(
                f"protocol {protocol.id} has no metric {unknown[0]!r}; it has "
                f"{', '.join(protocol.metrics)}"
            )
        return self

    @property
    def resolved_protocol(self) -> Protocol:
        """Return the protocol."""
        return find_protocol(self.protocol)


class MethodSpec(Section):
    """One row: a method with its options, as `bandweave fuse` has them."""

    method: str
    """Key in METHODS."""
    label: str | None = None
    """What tables call the row; None for the method's name with its options."""
    weights: str | None = None
    """Shipped weights, or a file relative to the weights folder (learned methods)."""
    consistent: bool | None = None
    """None for what the weights say; classical methods are then left as they are."""
    consistency_noise: float | None = Field(default=None, ge=0)
    convention: Literal["scene", "toolbox"] = "scene"
    tiling: Literal["blend", "official"] = "blend"
    pan_sharpness: Literal["auto", "off"] = "auto"
    uncovered: Literal["pass", "fuse"] = "pass"
    published: str | None = None
    """Published row to stand beside; None for that of the method."""

    @model_validator(mode="after")
    def _exists(self) -> MethodSpec:
        entry = find_method(self.method)
        if entry.is_learned and self.weights is None:
            raise ValueError(f"{self.method} is learned and needs weights")
        return self

    @property
    def row(self) -> str:
        """Return what tells this row from the others: the method and what is not its default."""
        options = self.model_dump(exclude_defaults=True, exclude={"method", "label", "published"})
        parts = [key if value is True else f"{key}={value}" for key, value in options.items()]
        return " ".join([self.method, *parts])

    @property
    def name(self) -> str:
        """Return what tables call the row."""
        if self.label is not None:
            return self.label
        named = {"method", "label", "published", "weights"}
        options = self.model_dump(exclude_defaults=True, exclude=named)
        parts = [find_method(self.method).name]
        if self.weights is not None:
            parts.append(Path(self.weights).stem)
        parts += [key if value is True else f"{key} {value}" for key, value in options.items()]
        return ", ".join(parts)


class Suite(RunConfig):
    """A benchmark."""

    name: str
    about: str
    """What is compared, and what has to be given."""
    data: tuple[BenchData, ...] = Field(min_length=1)
    methods: tuple[MethodSpec, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _has_no_twins(self) -> Suite:
        for what, names in (
            ("data", [one.id for one in self.data]),
            ("methods", [one.row for one in self.methods]),
        ):
            twins = {name for name in names if names.count(name) > 1}
            if twins:
                raise ValueError(f"{what} holds {min(twins)!r} twice")
        return self

    def keeping(self, count: int) -> Suite:
        """Return the suite with another number of images kept of each data."""
        data = tuple(one.model_copy(update={"kept": count}) for one in self.data)
        return self.model_copy(update={"data": data})

    def on_file(self, name: str) -> Suite:
        """Return the suite with its only file replaced by another of the same kind.

        Raises:
            ConfigError: The suite reads several files.
        """
        sources = [source for data in self.data for source in data.sources]
        if len(sources) != 1 or not isinstance(sources[0], PairsSource):
            raise ConfigError(
                f"The suite {self.name} does not read a single .h5 or .mat file; give the folder "
                "that holds its data."
            )
        source = sources[0].model_copy(update={"path": name})
        return self.model_copy(
            update={"data": (self.data[0].model_copy(update={"sources": (source,)}),)}
        )


def load_suite(name_or_file: str) -> Suite:
    """Read a shipped suite by name, a TOML file, or the `suite.json` of a run.

    Raises:
        UnknownNameError: Neither a shipped suite nor a file; the message lists the names.
        ConfigError: The file is no suite: one sentence names the first mistake.
    """
    if name_or_file in SUITES:
        text = _shipped(name_or_file)
    elif Path(name_or_file).is_file():
        text = Path(name_or_file).read_text(encoding="utf-8")
    else:
        raise UnknownNameError(
            f"There is no suite {name_or_file!r}: it is no file, and the shipped suites are "
            f"{', '.join(SUITES)}."
        )
    try:
        if name_or_file.endswith(".json"):
            return Suite.model_validate_json(text)
        content: dict[str, Any] = tomllib.loads(text)
        return Suite.model_validate(content)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name_or_file} is no TOML file: {error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the suite"
        raise ConfigError(f"{name_or_file}: {where}: {first['msg']}.") from error


def _shipped(name: str) -> str:
    return files("bandweave").joinpath("bench", "suites", f"{name}.toml").read_text("utf-8")
