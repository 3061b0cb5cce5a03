"""Train U2Net-L for eight WorldView bands on made-up scenes and one SpaceNet chip.

    .venv/bin/python recipes/u2net_l_wv_first/train.py --steps 5200
    .venv/bin/python recipes/u2net_l_wv_first/train.py --steps 5200 --export

Run the same command again to go on after an interruption: the state lies in
runs/u2net_l_wv_first and is replaced as a whole every few minutes. `--export` writes the averaged
weights into the package, with the scores on the validation images in their card.

The network is U2Net-L (S = 12, S' = 6; 85,658 parameters). It starts as plain interpolation. Each
step draws tiles, half of them from scenes of `bandweave.datasets.synthetic`, half
from the SpaceNet chip reduced by Wald's protocol, turned and mirrored. Scenes differ in light, MTF
gains, PAN sharpness and noise. The loss of a tile is its mean absolute error over that of
interpolation, so that quiet tiles count as much as busy ones.
"""

from __future__ import annotations

import argparse
import copy
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bandweave import __version__
from bandweave.datasets.synthetic.scene import FULL_SCALE, Instrument, synthetic_scene
from bandweave.degrade.observe import observe
from bandweave.degrade.sampling import interpolate
from bandweave.methods.learned import LearnedMethod
from bandweave.methods.nets.card import Score, WeightCard
from bandweave.methods.nets.checkpoint import Weights, load_weights, save_weights
from bandweave.methods.nets.initialise import start_from_interpolation
from bandweave.methods.nets.u2net import U2Net
from bandweave.methods.nets.u2net_config import U2NetConfig
from bandweave.methods.substitution.gram_schmidt import GramSchmidtAdaptive
from bandweave.metrics.ergas import ergas
from bandweave.metrics.psnr import psnr
from bandweave.metrics.sam import sam
from bandweave.mosaic.runner import ArraySink, RunLimits, fit_method, run_scene
from bandweave.pair import ImagePair
from bandweave.raster.reader import open_image
from bandweave.sensors import find_sensor
from bandweave.source import ArraySource
from bandweave.window import Window

ROOT = Path(__file__).parents[2]
RUN = ROOT / "runs" / "u2net_l_wv_first"
SHIPPED = ROOT / "src" / "bandweave" / "weights" / "u2net-l-wv.safetensors"
CHIP = ROOT.parent / "shared" / "data" / "pan" / "wv3_spacenet_shanghai"

CONFIG = U2NetConfig(bands=8, width=12, head_width=6)
PHASE = (1.5, 1.5)
TILE = 64
# Attention costs the square of a tile's area. Its temperature does not depend on the area, so most
# steps run on small tiles, many at a time, and the last ones on the tile of the finished network.
SMALL_TILE, SMALL_BATCH, BATCH, SMALL_SHARE = 32, 8, 4, 0.925
RATE, WARM_UP, EMA, CLIP = 1.5e-3, 200, 0.995, 1.0
TRAINING_SEEDS = range(1000, 1160)
VALIDATION_SEEDS = (5001, 5002, 5003)
# The chip's PAN lies this many PAN pixels lower than its corner-based grid says (measured with
# bandweave check); columns from HELD_OUT on are for validation only.
CHIP_ROWS, HELD_OUT = 2.73, 232
SAVE_EVERY, VALIDATE_EVERY = 200, 1000


@dataclass(frozen=True)
class Example:
    """A pair and its truth, DN, float32."""

    pair: ImagePair
    gt: np.ndarray


def drawn_instrument(rng: np.random.Generator) -> Instrument:
    """Draw MTF gains around WorldView-3's, and a PAN from sharp to soft."""
    gains = np.array(find_sensor("wv3").mtf_gains(8)) * rng.uniform(0.85, 1.1)
    return Instrument(
        phase=PHASE,
        mtf_gains=tuple(gains),
        pan_blur=float(rng.uniform(0.3, 0.8)),
        pan_noise=float(rng.uniform(0.5, 5)),
        spectral_noise=float(rng.uniform(0.5, 3)),
    )


def synthetic_examples() -> list[Example]:
    examples = []
    for seed in TRAINING_SEEDS:
        nominal = seed % 3 == 0
        instrument = Instrument() if nominal else drawn_instrument(np.random.default_rng(seed))
        scene = synthetic_scene(seed, (256, 256), instrument=instrument)
        examples.append(Example(scene.pair, scene.gt))
    return examples


def chip() -> tuple[np.ndarray, np.ndarray]:
    """Return MS `(8, 320, 320)` and PAN `(1, 1280, 1280)` of the SpaceNet chip, registered."""
    ms = open_image(f"{CHIP}_ms.tif").read(Window(0, 0, 320, 320), np.float64)[0]
    pan = open_image(f"{CHIP}_pan.tif").read(Window(3, 0, 1280, 1280), np.float64)[0]
    return ms, pan


def reduced_chip(gains: np.ndarray, pan_gain: float, noise: float, seed: int) -> Example:
    """Reduce the chip by Wald's protocol: the MS is the truth."""
    ms, pan = chip()
    rng = np.random.default_rng(seed)
    spatial = observe(pan, [pan_gain], 4, (1.5 + CHIP_ROWS - 3, 1.5))
    spectral = observe(ms, list(gains), 4, PHASE)
    pair = ImagePair(
        spatial=(spatial + noise * rng.standard_normal(spatial.shape)).astype(np.float32),
        spectral=(spectral + noise * rng.standard_normal(spectral.shape)).astype(np.float32),
        ratio=4,
        phase=PHASE,
        full_scale=FULL_SCALE,
        sensor=find_sensor("wv3"),
    )
    return Example(pair, ms.astype(np.float32))


def chip_examples() -> list[Example]:
    """Return the chip's training part under several degradations."""
    gains = np.array(find_sensor("wv3").mtf_gains(8))
    examples = []
    for seed, pan_gain in enumerate((0.10, 0.15, 0.20, 0.28, 0.38)):
        rng = np.random.default_rng(seed)
        example = reduced_chip(gains * rng.uniform(0.9, 1.1), pan_gain, rng.uniform(0, 2), seed)
        kept = Window(0, 0, 320, HELD_OUT)
        examples.append(Example(example.pair.crop(kept), example.gt[:, :, :HELD_OUT]))
    return examples


def validation_examples() -> dict[str, Example]:
    examples = {}
    for seed in VALIDATION_SEEDS:
        scene = synthetic_scene(seed, (256, 256))
        examples[f"synthetic {seed}"] = Example(scene.pair, scene.gt)
    gains = np.array(find_sensor("wv3").mtf_gains(8))
    whole = reduced_chip(gains, 0.15, 0.0, 0)
    part = Window(0, HELD_OUT, 320, 320 - HELD_OUT)
    examples["spacenet held out"] = Example(whole.pair.crop(part), whole.gt[:, :, HELD_OUT:])
    return examples


def drawn_batch(
    pools: list[list[Example]], step: int, tile: int, batch: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Draw spatial, spectral, truth and interpolation, unit range; the same for the same step."""
    rng = np.random.default_rng([7, step])
    columns: list[list[np.ndarray]] = [[], [], [], []]
    for k in range(batch):
        pool = pools[k % len(pools)]
        example = pool[rng.integers(len(pool))]
        h, w = example.pair.spectral.shape[1:]
        row, col = (int(rng.integers(side - tile // 4 + 1)) * 4 for side in (h, w))
        part = example.pair.crop(Window(row, col, tile, tile))
        gt = example.gt[:, row : row + tile, col : col + tile]
        base = interpolate(part.spectral, 4, PHASE, border="symmetric")
        turns, mirrored = int(rng.integers(4)), bool(rng.integers(2))
        for column, image in zip(columns, (part.spatial, part.spectral, gt, base), strict=True):
            turned = np.rot90(image, turns, axes=(1, 2))
            column.append((turned[:, :, ::-1] if mirrored else turned) / FULL_SCALE)
    spatial, spectral, gt, base = (
        torch.from_numpy(np.stack(column).astype(np.float32)) for column in columns
    )
    return spatial, spectral, gt, base


def relative_error(fused: Tensor, gt: Tensor, base: Tensor) -> Tensor:
    """Mean over tiles of the L1 error over that of interpolation (plus 1 DN)."""
    error = (fused - gt).abs().mean(dim=(1, 2, 3))
    return (error / ((base - gt).abs().mean(dim=(1, 2, 3)) + 1 / FULL_SCALE)).mean()


def rate(step: int, steps: int) -> float:
    """Return the learning rate: linear warm-up, then half a cosine to zero."""
    if step < WARM_UP:
        return RATE * (step + 1) / WARM_UP
    return RATE * 0.5 * (1 + math.cos(math.pi * (step - WARM_UP) / max(steps - WARM_UP, 1)))


def card(scores: tuple[Score, ...] = ()) -> WeightCard:
    sensor = find_sensor("wv3")
    return WeightCard(
        name="u2net-l-wv",
        config=CONFIG,
        band_names=tuple(band.name for band in sensor.bands),
        wavelengths=tuple(band.wavelength or 0.0 for band in sensor.bands),
        full_scale=FULL_SCALE,
        tile=TILE,
        phase=PHASE,
        sensor="wv3",
        pan_degradation=(
            "simulated scenes: Gaussian blur of 0.3 to 0.8 PAN pixels, noise; chip: MTF gain 0.10 "
            "to 0.38 and sampling at phase 1.5, kernel normalised, border replicated, noise"
        ),
        spectral_degradation=(
            "MTF gains of WorldView-3 times 0.85 to 1.1, kernel normalised, sampling at phase 1.5, "
            "border replicated, noise of up to 3 DN"
        ),
        training_data=(
            f"{len(TRAINING_SEEDS)} scenes of bandweave.datasets.synthetic, seeds "
            f"{TRAINING_SEEDS.start} to {TRAINING_SEEDS.stop - 1}; the SpaceNet 2 Shanghai chip "
            f"reduced by Wald's protocol, columns 0 to {HELD_OUT - 1} of 320"
        ),
        training_terms=(
            "simulated scenes: none; SpaceNet 2: CC BY-SA 4.0, SpaceNet on Amazon Web Services, "
            "imagery DigitalGlobe/Maxar"
        ),
        licence="CC-BY-SA-4.0",
        scores=scores,
        bandweave=__version__,
    )


def scores_of(fused: np.ndarray, gt: np.ndarray) -> dict[str, float]:
    return {
        "psnr": psnr(fused, gt, peak=FULL_SCALE),
        "sam": sam(fused, gt),
        "ergas": ergas(fused, gt, ratio=4),
    }


def validated(model: U2Net) -> dict[str, dict[str, float]]:
    """Fuse the validation images as `bandweave fuse` does, and score them without border."""
    table = {}
    for name, example in validation_examples().items():
        method = LearnedMethod(Weights(model, card(), "in training"), device="cpu")
        sink = ArraySink()
        fitted = method.fit(example.pair.profile, None)
        run_scene(fitted, ArraySource(example.pair), sink, precision=np.float32)
        table[name] = scores_of(sink.hrms, example.gt)
    return table


def show_baselines() -> None:
    for name, example in validation_examples().items():
        up = interpolate(example.pair.spectral, 4, PHASE, border="symmetric")
        gsa = fit_method(GramSchmidtAdaptive(), ArraySource(example.pair), RunLimits())
        say(f"{name}: exp {_row(scores_of(up, example.gt))}")
        say(f"{name}: gsa {_row(scores_of(gsa.fuse(example.pair), example.gt))}")


def _row(scores: dict[str, float]) -> str:
    return ", ".join(f"{key} {value:.3f}" for key, value in scores.items())


def say(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()


def save_state(
    model: nn.Module, average: nn.Module, optimiser: torch.optim.Optimizer, step: int
) -> None:
    """Replace the saved state as a whole: a kill leaves the old one or the new one."""
    RUN.mkdir(parents=True, exist_ok=True)
    beside = RUN / "state.partial"
    state = {
        "model": model.state_dict(),
        "average": average.state_dict(),
        "optimiser": optimiser.state_dict(),
        "step": step,
    }
    torch.save(state, beside)
    beside.replace(RUN / "state.pt")


def train(steps: int) -> U2Net:
    torch.manual_seed(0)
    model = U2Net(CONFIG)
    start_from_interpolation(model, PHASE)
    average = copy.deepcopy(model)
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=1e-4)
    step = 0
    if (RUN / "state.pt").exists():
        state = torch.load(RUN / "state.pt", weights_only=True)
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        step = state["step"]
        say(f"going on at step {step}")
    pools = [synthetic_examples(), chip_examples()]
    start, first, errors = time.monotonic(), step, []
    while step < steps:
        for group in optimiser.param_groups:
            group["lr"] = rate(step, steps)
        is_small = step < SMALL_SHARE * steps
        tile, batch = (SMALL_TILE, SMALL_BATCH) if is_small else (TILE, BATCH)
        spatial, spectral, gt, base = drawn_batch(pools, step, tile, batch)
        error = relative_error(model(spatial, spectral), gt, base)
        optimiser.zero_grad()
        error.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimiser.step()
        step += 1
        with torch.no_grad():
            for kept, now in zip(average.parameters(), model.parameters(), strict=True):
                kept.lerp_(now, 1 - EMA)
        errors.append(error.item())
        if step % 50 == 0:
            pace = (step - first) / (time.monotonic() - start)
            say(
                f"step {step} of {steps}: error {np.mean(errors):.4f} of interpolation's, "
                f"{pace:.2f} steps/s, {(steps - step) / pace / 60:.0f} min left"
            )
            errors = []
        if step % SAVE_EVERY == 0 or step == steps:
            save_state(model, average, optimiser, step)
        if step % VALIDATE_EVERY == 0 or step == steps:
            for name, scores in validated(average).items():
                say(f"{name}: u2net-l {_row(scores)}")
    return average


def export(model: U2Net) -> None:
    """Ship the weights in half precision, with the scores of the very file."""
    SHIPPED.parent.mkdir(exist_ok=True)
    save_weights(SHIPPED, model, card(), dtype=torch.float16)
    table = validated(load_weights(SHIPPED).model)
    scores = tuple(
        Score(data=name, protocol="whole image, peak 2047, mean over bands", values=values)
        for name, values in table.items()
    )
    save_weights(SHIPPED, model, card(scores), dtype=torch.float16)
    for name, values in table.items():
        say(f"{name}: {_row(values)}")
    say(f"wrote {SHIPPED}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=5200)
    parser.add_argument("--export", action="store_true", help="write the weights into the package")
    parser.add_argument("--baselines", action="store_true", help="only score exp and gsa")
    options = parser.parse_args()
    if options.baselines:
        show_baselines()
        return
    average = train(options.steps)
    if options.export:
        export(average)


if __name__ == "__main__":
    main()
