"""CAVE: what each part of our recipe brings, and the published recipes' first steps.

    python benchmarks/bench_cave.py ablation --cave FOLDER --out runs/cave-ablation
    python benchmarks/bench_cave.py curves --cave FOLDER --out runs/cave-curves
    bandweave report RUN --figures DIR --training runs/cave-curves/u2net-cave-paper ...

FOLDER holds CAVE's scenes as the archive unpacks. `ablation` trains the preset `u2net-cave` for a
short schedule, whole and with parts taken away; `curves` trains the published recipes of U2Net,
SSRNet and ResTFNet (their own optimisers, rates and batches) for equally many steps, on tiles cut
from the scenes in place of the published patch file. Interrupted, both go on; they print tables.
All scores are those of the validation scenes (fake_and_real_sushi and pompoms, a half of each).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from bandweave.train.presets import find_preset

METRICS = ("psnr", "sam", "ergas")

PLAIN_U2NET = ['network.architecture="u2net"']
RESIDUAL = (
    'network.config={bands=31,spatial_bands=3,width=32,base="local_regression",residual_scale=0.1}'
)
LEARNED = "network.config={bands=31,spatial_bands=3,width=32}"
ABLATION: dict[str, list[str]] = {
    "whole: six estimates, consistency layer": [],
    "without the layer": ["consistent=false"],
    "one estimate, consistency layer": [*PLAIN_U2NET, RESIDUAL, 'network.start="base"'],
    "neither: learned up-sampling": [
        *PLAIN_U2NET,
        LEARNED,
        "consistent=false",
        'loss="l1"',
    ],
}
CURVES = ("u2net-cave-paper", "ssrnet-cave", "restfnet-cave")


def train(preset: str, out: Path, cave: Path, settings: list[str]) -> list[dict[str, Any]]:
    """Train, or go on training, and return the lines of the log."""
    command = [sys.executable, "-m", "bandweave", "train", preset, "--data", str(cave)]
    command += ["--out", str(out)]
    for setting in settings:
        command += ["--set", setting]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return [json.loads(line) for line in (out / "log.jsonl").open()]


def mean_scores(line: dict[str, Any]) -> str:
    """Return PSNR / SAM / ERGAS, means over the validation images."""
    images = line["validation"].values()
    means = [sum(image[metric] for image in images) / len(images) for metric in METRICS]
    return f"{means[0]:.2f} / {means[1]:.3f} / {means[2]:.3f}"


def ablation(options: argparse.Namespace) -> None:
    """Train each variant for the same steps and print its last validation."""
    schedule = [
        f"steps={options.steps}",
        "small_tiles.share=1.0",
        "tile=32",
        "batch=8",
        f"validate_every={options.steps}",
        "ema=0.99",
    ]
    print("| variant | PSNR / SAM / ERGAS | steps |")
    print("| --- | --- | --- |")
    for number, (name, settings) in enumerate(ABLATION.items()):
        log = train(
            "u2net-cave", options.out / f"variant{number}", options.cave, [*schedule, *settings]
        )
        last = [line for line in log if "validation" in line][-1]
        print(f"| {name} | {mean_scores(last)} | {last['step']} |", flush=True)


def curves(options: argparse.Namespace) -> None:
    """Train the published recipes for the same steps and print their validations."""
    own = find_preset("u2net-cave").data
    sources = {
        "training": own.training[0].model_dump(mode="json"),
        "validation": own.validation[0].model_dump(mode="json"),
    }
    print("| recipe | step | PSNR / SAM / ERGAS |")
    print("| --- | --- | --- |")
    for preset in CURVES:
        settings = [
            *(f"data.{part}=[{inline(source)}]" for part, source in sources.items()),
            f"steps={options.steps}",
            f"validate_every={options.steps // 4}",
            f"log_every={max(options.steps // 40, 1)}",
        ]
        for line in train(preset, options.out / preset, options.cave, settings):
            if "validation" in line:
                print(f"| {preset} | {line['step']} | {mean_scores(line)} |", flush=True)


def inline(table: dict[str, Any]) -> str:
    """Write a flat table as TOML in one line."""
    return "{" + ", ".join(f"{key}={json.dumps(value)}" for key, value in table.items()) + "}"


def main() -> None:
    commands = {"ablation": ablation, "curves": curves}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=commands)
    parser.add_argument("--cave", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=None)
    options = parser.parse_args()
    options.steps = options.steps or {"ablation": 800, "curves": 120}[options.command]
    commands[options.command](options)


if __name__ == "__main__":
    main()
