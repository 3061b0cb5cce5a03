"""Tune weights to one scene without ground truth: any sensor, no data set.

The scene is reduced by Wald's protocol, its own bands being the reference, and the network learns
to undo that. Beside it the network fuses tiles of the scene itself, where no reference is known but
physics is: the result seen by the instrument has to be the coarse image, and its detail that of the
PAN. A part of the scene is held out: it decides which weights are the best, and whether they are
better at all than those it began with.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bandweave import __version__
from bandweave.degrade.operators import MtfFilter
from bandweave.degrade.wald import ReducedPair, WaldProtocol, wald_pair
from bandweave.errors import ConfigError, ScaleError, ShapeError
from bandweave.machine import usable_cores
from bandweave.methods.convention import require_gains
from bandweave.methods.nets.card import Score, WeightCard
from bandweave.methods.nets.checkpoint import Weights, save_weights
from bandweave.methods.nets.network import FusionNetwork
from bandweave.methods.nets.table import find_network, settings_of
from bandweave.methods.nets.u2net_ensemble import EnsembleConfig, EnsembleU2Net
from bandweave.pair import ImagePair
from bandweave.source import PairSource
from bandweave.train.batches import stacked
from bandweave.train.full_resolution import FullResolutionTerm
from bandweave.train.layer import ConsistencyLayer
from bandweave.train.loss import Average, TensorBatch
from bandweave.train.scene import Sample, TrainingScene
from bandweave.train.start import Starter
from bandweave.train.validation import METRICS, fused_whole, score
from bandweave.window import Window

Tell = Callable[[str], None]

# What a network begun anew stands on, and how many estimates these are: it weighs closed forms that
# ask for nothing but MTF gains, and returns their mean until it has learned better.
_FOR_PAN, _FOR_SEVERAL_BANDS = ("classical_ensemble", 4), ("regression_ensemble", 6)
_WIDTH = 16
_TILE, _BATCH = 32, 8
_RATE, _WARM_UP, _EMA = 5e-4, 50, 0.99
_HELD_OUT = 4  # one part in so many
_LEAST_HELD_OUT = 16  # reduced pixels
_PART = 1024  # PAN pixels per side of a part of a large scene
_MOST_PARTS = 8
_VALIDATIONS = 8
# MTF of a PAN at the Nyquist frequency of the bands where its sensor does not say: that of the
# toolbox's PAN filters for most sensors.
_PAN_GAIN = 0.15


@dataclass(frozen=True, slots=True)
class AdaptReport:
    """What came of an adaptation."""

    weights: Path
    is_better: bool
    """Whether the adapted weights were kept; otherwise the file holds those it began with."""
    before: dict[str, float]
    """Scores on the held-out part before: of the given weights, or of the base."""
    after: dict[str, float]
    """Scores of the weights in the file."""
    steps: int
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class _Ground:
    """The scene at both levels: what is learned from, and what decides."""

    training: list[ReducedPair]
    full: list[ImagePair]
    held_out: list[ReducedPair]


def adapt(
    source: PairSource,
    out: Path,
    *,
    weights: Weights | None = None,
    minutes: float = 15.0,
    seed: int = 1,
    tell: Tell,
) -> AdaptReport:
    """Tune weights to a scene, and write those that do best on its held-out part.

    Args:
        source: The scene, registered; its sensor's MTF gains and full scale must be known.
        out: The weight file to write.
        weights: Where to start; None for a new small network on a closed form.
        minutes: Time to spend on training.
        seed: Of tiles and initialisation.
        tell: Receives progress as sentences.

    Raises:
        ConfigError: The time is not positive.
        ScaleError: The full scale of the scene is not known.
        SensorModelError: The MTF gains of its bands are not known.
        ShapeError: The scene is too small to hold out a part of it, or holds too much nodata.
    """
    if not minutes > 0:
        raise ConfigError(f"The minutes to adapt must be positive, got {minutes:g}.")
    profile = source.profile
    if profile.full_scale is None:
        raise ScaleError(
            "The value that maps to 1.0 is not known for this scene; give --full-scale or --sensor."
        )
    require_gains(profile, "adapt")
    # PyTorch counts cores, whatever a container allows of their time.
    torch.set_num_threads(min(torch.get_num_threads(), usable_cores()))
    ground = _surveyed(source)
    start = weights or _begun(source, seed)
    before = _mean_scores(start, ground.held_out)
    name = start.card.name if weights is not None else f"consistent {start.model.base}"
    tell(f"Held-out part, {name}: {_shown(before)}")
    trainer = _Trainer(start, ground, seed, source)
    best, after, steps, seconds = trainer.run(minutes * 60, before, tell)
    is_better = best is not start
    kept = best.model if is_better else start.model
    card = start.card.model_copy(
        update={
            "name": out.stem,
            "scores": (Score(data="held-out part", protocol="reduced scene", values=after),),
            "bandweave": __version__,
        }
    )
    save_weights(out, kept, card)
    tell(
        f"Kept the adapted weights after {steps} steps: {_shown(after)}"
        if is_better
        else f"{steps} steps made nothing better on the held-out part; kept {name} as it was."
    )
    return AdaptReport(out, is_better, before, after, steps, seconds)


def _surveyed(source: PairSource) -> _Ground:
    """Read and reduce parts of the scene, one in four of them held out."""
    profile = source.profile
    gains = require_gains(profile, "adapt")
    pan_gain = None if profile.sensor is None else profile.sensor.pan_mtf_gain
    # The reduced pair keeps the scene's phase, so that the weights know the scene itself.
    protocol = WaldProtocol(
        MtfFilter(gains, is_normalised=True),
        MtfFilter((pan_gain or _PAN_GAIN,), is_normalised=True),
        profile.phase,
    )
    training, held_out = (
        [pair for pair in (source.read(window, np.float64) for window in part) if _is_usable(pair)]
        for part in _parts(profile.shape, profile.ratio)
    )
    if not training or not held_out:
        raise ShapeError(
            "Adapting needs a part to learn from and one to hold out, each at least half of valid "
            "pixels, and this scene has too much nodata; give a part of it."
        )
    return _Ground(
        [wald_pair(pair, protocol) for pair in training],
        training,
        [wald_pair(pair, protocol) for pair in held_out],
    )


def _is_usable(pair: ImagePair) -> bool:
    return pair.valid is None or float(pair.valid.mean()) >= 0.5


def _parts(shape: tuple[int, int], ratio: int) -> tuple[list[Window], list[Window]]:
    """Choose parts of a scene to learn from and to hold out; they share no ground.

    Raises:
        ShapeError: There is no room for a tile in either.
    """
    unit = ratio**2
    rows, columns = (side // unit * unit for side in shape)
    if max(rows, columns) < 2 * _PART:
        cut = columns * (_HELD_OUT - 1) // _HELD_OUT // unit * unit
        least = (_tile(ratio) * ratio, _LEAST_HELD_OUT * _HELD_OUT * ratio)
        if rows < least[0] or columns < least[1]:
            raise ShapeError(
                f"Adapting needs a scene of at least {least[0]} x {least[1]} PAN pixels, a "
                f"quarter of which is held out; this one has {shape[0]} x {shape[1]}."
            )
        return [Window(0, 0, rows, cut)], [Window(0, cut, rows, columns - cut)]
    side = _PART // unit * unit
    heights, widths = (range(0, max(n - side, 0) + 1, side) for n in (rows, columns))
    every = [Window(r, c, min(side, rows), min(side, columns)) for r in heights for c in widths]
    chosen = [every[int(k)] for k in np.linspace(0, len(every) - 1, min(len(every), _MOST_PARTS))]
    return [w for k, w in enumerate(chosen) if k % _HELD_OUT], chosen[::_HELD_OUT]


def _tile(ratio: int) -> int:
    """Return the smallest side from `_TILE` on that the network and the ratio can divide."""
    step = math.lcm(ratio, EnsembleU2Net.stride)
    return -(-_TILE // step) * step


def _begun(source: PairSource, seed: int) -> Weights:
    """Return a small network that gives back its closed forms' mean, with a card for this scene."""
    profile = source.profile
    torch.manual_seed(seed)
    base, members = _FOR_PAN if profile.spatial_bands == 1 else _FOR_SEVERAL_BANDS
    config = EnsembleConfig(
        bands=profile.bands,
        spatial_bands=profile.spatial_bands,
        ratio=profile.ratio,
        base=base,
        members=members,
        width=_WIDTH,
        head_width=8,
    )
    network = EnsembleU2Net(config)
    names = profile.band_names or tuple(f"band {k + 1}" for k in range(profile.bands))
    assert profile.full_scale is not None
    card = WeightCard(
        name="adapted",
        architecture="u2net_ensemble",
        config=settings_of(config),
        band_names=names,
        full_scale=profile.full_scale,
        tile=_tile(profile.ratio),
        phase=profile.phase,
        consistent=True,
        consistency_noise=1e-3,
        sensor="unknown" if profile.sensor is None else profile.sensor.id,
        pan_degradation="the scene's own PAN, MTF filter and decimation",
        spectral_degradation="MTF gain per band, normalised, at the scene's phase",
        training_data="the scene itself, reduced by Wald's protocol",
        training_terms="those of the scene",
        licence="that of the scene",
        bandweave=__version__,
    )
    return Weights(network.eval(), card, "begun anew")


class _Trainer:
    """A short loop with a clock instead of a number of steps."""

    def __init__(self, start: Weights, ground: _Ground, seed: int, source: PairSource) -> None:
        card = start.card
        self._start, self._ground, self._seed = start, ground, seed
        entry = find_network(card.architecture)
        self._network: FusionNetwork = entry.build(card.config, source=card.name)
        self._network.load_state_dict(start.model.state_dict())
        noise = card.consistency_noise if card.consistent else None
        starter = Starter(self._network.base, noise, self._network.members)
        # Small tiles: attention costs the square of a tile's area, and minutes have to do. Little
        # is left of a small scene one level down, and mirrored tiles may need one more pixel.
        ratio = source.profile.ratio
        step = math.lcm(ratio, self._network.stride)
        room = min(side for made in ground.training for side in made.gt.shape[1:])
        self._tile = min(card.tile, _tile(ratio), (room - ratio) // step * step)
        self._scenes = [starter.scene(made, "reduced") for made in ground.training]
        self._full = [_without_reference(starter, pair) for pair in ground.full]
        self._layer = (
            ConsistencyLayer(starter.operators, self._tile, card.consistency_noise)
            if card.consistent
            else None
        )
        self._term = FullResolutionTerm.of(ground.full, self._tile, source.profile)

    def run(
        self, seconds: float, before: dict[str, float], tell: Tell
    ) -> tuple[Weights, dict[str, float], int, float]:
        """Train for some time; return the best weights, their scores, steps and seconds."""
        optimiser = torch.optim.AdamW(self._network.parameters(), lr=_RATE, weight_decay=0)
        average = Average(self._network, _EMA)
        best, reached = self._start, before
        began, spent, step, checked = time.monotonic(), 0.0, 0, 0
        self._network.train()
        while spent < seconds:
            share = spent / seconds
            warm = min((step + 1) / _WARM_UP, 1.0)
            for group in optimiser.param_groups:
                group["lr"] = _RATE * warm * 0.5 * (1 + math.cos(math.pi * share))
            loss = self._loss(step)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self._network.parameters(), 1.0)
            optimiser.step()
            step += 1
            average.update(self._network, step)
            spent = time.monotonic() - began
            if int(_VALIDATIONS * spent / seconds) > checked or spent >= seconds:
                checked = int(_VALIDATIONS * spent / seconds)
                found = self._candidate(average)
                scores = _mean_scores(found, self._ground.held_out)
                left = max(seconds - spent, 0) / 60
                tell(f"Step {step}, {left:.1f} min left, held-out part: {_shown(scores)}")
                if _is_better(scores, reached):
                    best, reached = found, scores
                # The check does not count as training.
                began = time.monotonic() - spent
        return best, reached, step, spent

    def _loss(self, step: int) -> Tensor:
        generator = np.random.default_rng([self._seed, step])
        reduced = stacked([self._drawn(self._scenes, generator) for _ in range(_BATCH)])
        loss = (self._fused(reduced) - reduced.gt).abs().mean()
        full = stacked([self._drawn(self._full, generator) for _ in range(max(_BATCH // 4, 1))])
        return loss + self._term(self._fused(full), full.spatial, full.spectral)

    def _drawn(self, scenes: list[TrainingScene], generator: np.random.Generator) -> Sample:
        sizes = np.array([scene.size[0] * scene.size[1] for scene in scenes], dtype=np.float64)
        scene = scenes[int(generator.choice(len(scenes), p=sizes / sizes.sum()))]
        return scene.draw(generator, self._tile, symmetries=scene.is_symmetric)

    def _fused(self, batch: TensorBatch) -> Tensor:
        fused: Tensor = self._network(batch.spatial, batch.spectral, batch.start)
        if self._layer is None or batch.start is None:
            return fused
        consistent: Tensor = self._layer(fused, batch.base, batch.operator)
        return consistent

    def _candidate(self, average: Average) -> Weights:
        card = self._start.card
        network = find_network(card.architecture).build(card.config, source=card.name)
        network.load_state_dict(average.state())
        return Weights(network.eval(), card, "adapted")


def _without_reference(starter: Starter, pair: ImagePair) -> TrainingScene:
    """Return the scene itself; its reference is a stand-in that nothing looks at."""
    empty = np.zeros((pair.spectral.shape[0], *pair.shape))
    protocol = WaldProtocol(MtfFilter((0.3,)))
    return starter.scene(ReducedPair(pair, empty, protocol.record(pair.profile)), "full")


def _mean_scores(weights: Weights, images: list[ReducedPair]) -> dict[str, float]:
    found = [score(fused_whole(weights, made), made) for made in images]
    return {metric: float(np.mean([values[metric] for values in found])) for metric in METRICS}


def _is_better(scores: dict[str, float], reached: dict[str, float]) -> bool:
    """Tell whether PSNR rose and neither of the other two suffered."""
    return scores["psnr"] > reached["psnr"] and all(
        scores[metric] <= reached[metric] for metric in ("sam", "ergas")
    )


def _shown(scores: dict[str, float]) -> str:
    return ", ".join(f"{metric} {scores[metric]:.3f}" for metric in METRICS)
