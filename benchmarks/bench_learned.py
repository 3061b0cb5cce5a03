"""Every network after the same short training: a first comparison, by one resumable command.

    python benchmarks/bench_learned.py --data SCENES --cave CAVE --out runs/learned

`--data` is a folder with the WorldView scenes that the suite `learned-first` names, `--cave` one
with CAVE's scenes as the archive unpacks. Either may be left out. Each network is trained with the
same steps, tiles, seed, loss and optimiser, on the columns of the scenes that the suite does not
score (on other scenes of CAVE); then `bandweave benchmark` runs the suite. Interrupted in any way,
the same command goes on; tables lie in OUT/learned-first and OUT/learned-first-cave.

The settings are those of a quick test on two cores and none of the papers'.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bandweave.bench.runner import run_suite
from bandweave.bench.suite import Suite, load_suite
from bandweave.datasets.cave import TRAIN_SCENES
from bandweave.methods.nets.table import NETWORKS
from bandweave.parallel.executor import Local
from bandweave.train.config import (
    CardConfig,
    CaveSource,
    Cosine,
    DataConfig,
    NetworkSpec,
    OptimiserConfig,
    SceneSource,
    TrainConfig,
)
from bandweave.train.recipes.paper import cave_card, paper_data

STEPS = 450
TILE, BATCH = 32, 8
RATE = 1e-3
CAVE_SCENES = TRAIN_SCENES[::2]
"""Ten of the twenty training scenes, their middle quarters: they are held in memory."""

SCENES = (
    SceneSource(
        spatial="wv3_spacenet_shanghai_pan.tif",
        spectral="wv3_spacenet_shanghai_ms.tif",
        sensor="wv3",
        skip=(3, 0),
        columns=(0.0, 0.65),
        weight=3.0,
    ),
    *(
        SceneSource(
            spatial=f"{name}_halfscale_pan.tif",
            spectral=f"{name}_halfscale_ms.tif",
            phase=2.0,
            sensor=sensor,
            columns=(0.0, 0.5),
        )
        for name, sensor in (
            ("wv3_munich_urban", "wv3"),
            ("wv3_munich_natural", "wv3"),
            ("wv2_miami_urban", "wv2"),
        )
    ),
)


@dataclass(frozen=True, slots=True)
class Training:
    """One network to train."""

    config: TrainConfig
    out: Path


def recipe(
    name: str, config: dict[str, Any], data: DataConfig, card: CardConfig, *, steps: int
) -> TrainConfig:
    """Return the settings that all networks share."""
    return TrainConfig(
        name=name,
        about="Short training for the comparison of benchmarks/bench_learned.py.",
        network=NetworkSpec(architecture=name.rpartition("-")[0], config=config),
        data=data,
        tile=TILE,
        batch=BATCH,
        steps=steps,
        loss="l1",
        optimiser=OptimiserConfig(learning_rate=RATE, clip_norm=1.0),
        schedule=Cosine(warm_up=min(50, steps // 4)),
        checkpoint_every=100,
        card=card,
    )


def networks(task: str) -> list[str]:
    """Return the published networks for a task."""
    return [
        name
        for name, entry in NETWORKS.items()
        if entry.task in (task, "both") and entry.parity != "none published"
    ]


def worldview(folder: Path, out: Path, steps: int) -> list[Training]:
    """Return the runs for pansharpening."""
    data = DataConfig(root=str(folder), training=SCENES, symmetries=True)
    card = paper_data("wv3").card.model_copy(
        update={
            "training_data": "columns of three WorldView-3 and one WorldView-2 scene, reduced",
            "training_terms": "those of the scenes",
            "licence": "for comparison only",
        }
    )
    return [
        Training(recipe(name, {"bands": 8}, data, card, steps=steps), out / name)
        for name in (f"{network}-wv" for network in networks("pansharpening"))
    ]


def cave(folder: Path, out: Path, steps: int) -> list[Training]:
    """Return the runs for hyperspectral images."""
    source = CaveSource(scenes=CAVE_SCENES, part=0.5)
    data = DataConfig(root=str(folder), training=(source,), symmetries=True)
    card = cave_card("CAVE, middle quarters of ten training scenes of the published split")
    config = {"bands": 31, "spatial_bands": 3}
    return [
        Training(recipe(name, config, data, card, steps=steps), out / name)
        for name in (f"{network}-cave" for network in networks("hyperspectral super-resolution"))
    ]


def train_one(task: Training) -> str:
    """Train or go on; what is finished returns at once."""
    # Late: the parent needs no torch.
    import torch  # noqa: PLC0415

    from bandweave.train.loop import train  # noqa: PLC0415

    torch.set_num_threads(1)
    report = train(task.config, task.out, lambda text: print(f"{task.config.name}: {text}"))
    return str(report.weights)


def score(name: str, root: Path, options: argparse.Namespace) -> None:
    """Run a suite on what was trained."""
    suite: Suite = load_suite(name)
    report = run_suite(
        suite,
        options.out / name,
        root=root,
        weights=options.out / "weights",
        processes=options.processes,
        tell=print,
    )
    print((options.out / name / "table.md").read_text())
    for sentence in report.failures:
        print(f"Failed: {sentence}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=Path, help="Folder with the WorldView scenes.")
    parser.add_argument("--cave", type=Path, help="Folder with CAVE's scenes.")
    parser.add_argument("--out", type=Path, default=Path("runs/learned"))
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("-j", dest="processes", type=int, default=2, help="Networks at a time.")
    options = parser.parse_args()
    weights = options.out / "weights"
    tasks = []
    if options.cave is not None:
        tasks += cave(options.cave, weights, options.steps)
    if options.data is not None:
        tasks += worldview(options.data, weights, options.steps)
    for outcome in Local(options.processes).map(train_one, tasks):
        print(f"{outcome.task.config.name}: {outcome.error or outcome.result}", flush=True)
    if options.data is not None:
        score("learned-first", options.data, options)
    if options.cave is not None:
        score("learned-first-cave", options.cave, options)


if __name__ == "__main__":
    main()
