"""What each part of our recipes brings, and the published recipes' first steps on CAVE.

    python benchmarks/bench_recipes.py ablation u2net-cave --data CAVE --out runs/cave-ablation
    python benchmarks/bench_recipes.py ablation u2net-4band --data SCENES --out runs/4band-ablation
    python benchmarks/bench_recipes.py curves --data CAVE --out runs/cave-curves
    bandweave report RUN --figures DIR --training runs/cave-curves/u2net-cave-paper ...

CAVE holds the scenes as the archive unpacks, SCENES what the preset names. `ablation` trains one of
our presets for a short schedule, whole and with parts taken away; `curves` trains the published
recipes of U2Net, SSRNet and ResTFNet (their own optimisers, rates and batches) for equally many
steps, on tiles cut from the scenes in place of the published patch file. Interrupted, both go on;
they print tables. All scores are those of the presets' validation images, which are no test images.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from bandweave.train.recipes.presets import find_preset

METRICS = ("psnr", "sam", "ergas")

SINGLE = {"u2net-cave": "local_regression", "u2net-4band": "bt_h", "u2net-wv": "bt_h"}
"""Preset -> the closed form that the variant with one estimate starts from."""
CURVES = ("u2net-cave-paper", "ssrnet-cave", "restfnet-cave")


def variants(preset: str) -> dict[str, list[str]]:
    """Return the settings of each variant of a preset."""
    config = find_preset(preset).network.config
    bands = f"bands={config['bands']},spatial_bands={config['spatial_bands']},width=32"
    single = f'{bands},base="{SINGLE[preset]}",residual_scale=0.1'
    plain = ['network.architecture="u2net"', 'precision="fp32"']
    return {
        f"whole: {config['members']} estimates, consistency layer": [],
        "without the layer": ["consistent=false"],
        f"one estimate ({SINGLE[preset]}), consistency layer": [
            *plain,
            f"network.config={{{single}}}",
            'network.start="base"',
        ],
        "neither: learned up-sampling": [
            *plain,
            f"network.config={{{bands}}}",
            "consistent=false",
            'loss="l1"',
        ],
    }


def train(preset: str, out: Path, data: Path, settings: list[str]) -> list[dict[str, Any]]:
    """Train, or go on training, and return the lines of the log."""
    command = [sys.executable, "-m", "bandweave", "train", preset, "--data", str(data)]
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
    for number, (name, settings) in enumerate(variants(options.preset).items()):
        log = train(
            options.preset, options.out / f"variant{number}", options.data, [*schedule, *settings]
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
        for line in train(preset, options.out / preset, options.data, settings):
            if "validation" in line:
                print(f"| {preset} | {line['step']} | {mean_scores(line)} |", flush=True)


def inline(table: dict[str, Any]) -> str:
    """Write a flat table as TOML in one line."""
    return "{" + ", ".join(f"{key}={json.dumps(value)}" for key, value in table.items()) + "}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    for command, steps in ((ablation, 800), (curves, 120)):
        part = commands.add_parser(command.__name__, help=command.__doc__)
        if command is ablation:
            part.add_argument("preset", choices=SINGLE)
        part.add_argument("--data", type=Path, required=True)
        part.add_argument("--out", type=Path, required=True)
        part.add_argument("--steps", type=int, default=steps)
        part.set_defaults(run=command)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
