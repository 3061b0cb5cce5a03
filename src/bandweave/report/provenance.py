"""Where a report's numbers come from, and how to get them again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bandweave import __version__
from bandweave.report.content import Benchmark, Content
from bandweave.report.records import Record

Pair = tuple[str, str]
_SHORT = 16  # digits of a hash that are shown


@dataclass(frozen=True, slots=True)
class Part:
    """A list of names and values under a heading."""

    title: str
    pairs: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class Text:
    """A file's text under a heading."""

    title: str
    content: str


@dataclass(frozen=True, slots=True)
class Reproduction:
    """What to do to get the same."""

    sentences: tuple[str, ...]
    commands: str


def provenance(content: Content) -> list[Part]:
    """Return versions, machine, protocols, methods with their hashes, and what was decided."""
    if content.benchmark is None:
        return [Part("Software", (("bandweave (this page)", __version__),))]
    records = content.benchmark.records
    times = sorted(one.when for one in records if one.when)
    software = [("bandweave (this page)", __version__), *_distinct(records, "versions")]
    if times:
        software.append(("computed", f"{times[0]} to {times[-1]}"))
    parts = [
        Part("Software", tuple(software)),
        Part("Machine", tuple(_distinct(records, "hardware"))),
    ]
    for table in content.benchmark.tables:
        own = next((one for one in records if one.data == table.id and one.protocol), None)
        if own is not None:
            pairs = (*_flat(own.protocol), *_flat(own.conditions))
            parts.append(Part(f"Protocol: {table.title}", tuple(pairs)))
    parts.append(Part("Methods", tuple(_methods(records))))
    parts.append(Part("Decided on the way", tuple(_notes(records))))
    return [part for part in parts if part.pairs]


def texts(content: Content) -> list[Text]:
    """Return the suite, and how the images were simulated where that is known."""
    if content.benchmark is None:
        return []
    found = [Text("The suite, as it was resolved (suite.json)", content.benchmark.suite)]
    for table in content.benchmark.tables:
        own = [one for one in content.benchmark.records if one.data == table.id]
        made = next((one.simulation for one in own if one.simulation is not None), None)
        if made is not None:
            found.append(
                Text(f"How the images were simulated: {table.title}", json.dumps(made, indent=1))
            )
    return found


def reproduction(content: Content) -> Reproduction:
    """Return the commands behind the page."""
    lines = [f"pip install 'bandweave[plots]=={__version__}'"]
    sentences = []
    out = f"runs/{content.benchmark.name}" if content.benchmark else str(content.folder.name)
    if content.benchmark is not None:
        lines.append(_benchmark_command(content.benchmark, out))
        sentences = list(_sentences(content.benchmark))
    training = "".join(f" --training {log.name}" for log in content.training)
    lines.append(f"bandweave report {out}{training if content.benchmark else ''} --figures figures")
    sentences.append(
        "The last command writes this page, and every figure as PDF and PNG with its caption."
    )
    return Reproduction(tuple(sentences), "\n".join(lines))


def _benchmark_command(benchmark: Benchmark, out: str) -> str:
    suite = benchmark.name if benchmark.is_shipped else "suite.json"
    data = " --data DATA" if benchmark.needs_data else ""
    weights = " --weights WEIGHTS" if benchmark.needs_weights else ""
    return f"bandweave benchmark {suite}{data}{weights} --out {out}"


def _sentences(benchmark: Benchmark) -> Iterator[str]:
    if not benchmark.is_shipped:
        yield "suite.json is the text above, as it also lies in the run's folder."
    if benchmark.needs_data:
        yield f"DATA is the folder that holds {_listed(benchmark.needs_data)}."
    if benchmark.needs_weights:
        yield (
            f"WEIGHTS is the folder that holds {_listed(benchmark.needs_weights)}; their hashes "
            "stand above."
        )
    yield (
        "Scores do not depend on the number of processes; times do, and those here were taken on "
        "the machine named above."
    )


def _listed(names: Sequence[str]) -> str:
    few = list(names[:12])
    return ", ".join(few) + (f" and {len(names) - 12} more" if len(names) > len(few) else "")


def _distinct(records: Sequence[Record], field: str) -> Iterator[Pair]:
    """Yield the keys of a field with every value that the records have."""
    values: dict[str, dict[str, None]] = {}
    for one in records:
        for key, value in getattr(one, field).items():
            values.setdefault(key, {})[str(value)] = None
    for key, found in values.items():
        yield key.replace("_", " "), ", ".join(found)


def _flat(content: dict[str, Any]) -> Iterator[Pair]:
    for key, value in content.items():
        if value is None:
            continue
        text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        yield key.replace("_", " "), text


def _methods(records: Sequence[Record]) -> Iterator[Pair]:
    seen = set()
    for one in records:
        if one.row in seen:
            continue
        seen.add(one.row)
        parts = [one.row]
        if one.weights_sha256:
            parts.append(f"weights SHA-256 {one.weights_sha256}")
        if one.config_sha256:
            parts.append(f"settings {one.config_sha256[:_SHORT]}")
        yield one.name, "; ".join(parts)


def _notes(records: Sequence[Record]) -> Iterator[Pair]:
    notes: dict[str, dict[str, None]] = {}
    for one in records:
        for note in one.notes:
            notes.setdefault(one.name, {})[note] = None
    for name, own in notes.items():
        yield name, " ".join(own)
