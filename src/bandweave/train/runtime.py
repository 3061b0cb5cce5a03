"""What a run consists of on this process: network, optimiser, average, device, folder."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from accelerate import Accelerator
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bandweave import __version__
from bandweave.errors import CheckpointMismatchError, ConfigError, FileFormatError
from bandweave.methods.nets.attention.layer import use_precision
from bandweave.methods.nets.card import Score, WeightCard
from bandweave.methods.nets.checkpoint import Weights, save_weights
from bandweave.methods.nets.exact import exact_convolutions
from bandweave.methods.nets.inference import lay_channels_last
from bandweave.methods.nets.initialise import start_from_base, start_from_interpolation
from bandweave.methods.nets.network import FusionNetwork
from bandweave.methods.nets.table import find_network, settings_of
from bandweave.methods.nets.u2net import U2Net
from bandweave.methods.nets.zoo import load_named
from bandweave.train.batches import Batches, Material, tile_and_batch
from bandweave.train.config import TrainConfig
from bandweave.train.device_tiles import DeviceTiles
from bandweave.train.layer import ConsistencyLayer
from bandweave.train.loss import Average, Objective, TensorBatch
from bandweave.train.recorded_step import RecordedStep
from bandweave.train.run_dir import Progress, RunDir
from bandweave.train.start import Starter
from bandweave.train.validation import Validation, mean_score


@dataclass(frozen=True, slots=True, eq=False)
class Runtime:
    """A run on one process."""

    config: TrainConfig
    accelerator: Accelerator
    run: RunDir
    batches: Batches
    network: FusionNetwork
    objective: nn.Module
    """Network, layer and loss, wrapped for the process group."""
    optimiser: Any
    average: Average | None
    validation: Validation | None
    """On the first process only: the others would compute the same."""
    recording: RecordedStep | None
    """Plays steps where they can be recorded, else None."""

    @classmethod
    def of(cls, config: TrainConfig, accelerator: Accelerator, run: RunDir) -> Runtime:
        """Build everything, untrained.

        Raises:
            FusionError: The data are missing, unreadable or do not suit the network.
        """
        torch.manual_seed(config.seed)
        network = built(config)
        use_precision(network, config.precision)
        noise = config.consistency_noise if config.consistent else None
        starter = Starter(network.base, noise, network.members)
        material = Material.of(config, starter)
        device = accelerator.device
        batches = Batches(
            config,
            material,
            accelerator.process_index,
            accelerator.num_processes,
            _tiles_on(device, material, network),
        )
        if device.type == "cuda":
            lay_channels_last(network)
        recording = RecordedStep(device) if _is_recordable(config, accelerator, starter) else None
        objective = Objective(network, config, _layers(config, starter))
        wrapped, optimiser = accelerator.prepare(objective, _optimiser(config, network))
        adjust(optimiser, device, is_recorded=recording is not None)
        return cls(
            config,
            accelerator,
            run,
            batches,
            network,
            wrapped,
            optimiser,
            None if config.ema is None else Average(network, config.ema),
            Validation.of(config) if accelerator.is_main_process else None,
            recording,
        )

    def restored(self) -> Progress:
        """Take back the newest checkpoint, if there is one.

        Raises:
            FileFormatError: Something in it is damaged.
        """
        newest = self.run.latest()
        if newest is None:
            return Progress()
        folder, done = newest
        try:
            self.accelerator.load_state(str(folder))
            if self.average is not None:
                self.average.restore(load_file(folder / "average.safetensors"))
        except (OSError, RuntimeError, ValueError, KeyError, SafetensorError) as error:
            reason = " ".join(str(error).split())
            raise FileFormatError(
                f"The checkpoint {folder} is damaged ({reason}); begin anew with another --out, on "
                f"the weights of this run with --set network.weights={self.run.path}/"
                "last.safetensors."
            ) from error
        # The checkpoint may come from another kind of device.
        _lay_as_weights(self.optimiser)
        adjust(self.optimiser, self.accelerator.device, is_recorded=self.recording is not None)
        return done

    def step(self, batch: TensorBatch, rate: float) -> Tensor:
        """Take one optimiser step on this process's part of a batch; return its mean loss."""
        for group in self.optimiser.param_groups:
            if self.recording is None:
                group["lr"] = rate
            else:
                group["lr"].fill_(rate)
        return self.take(batch) if self.recording is None else self.recording(self.take, batch)

    def take(self, batch: TensorBatch) -> Tensor:
        """Take a step at the learning rate that is set; no value on the device is looked at."""
        with exact_convolutions():
            return self._taken(batch)

    def _taken(self, batch: TensorBatch) -> Tensor:
        count = len(batch.gt)
        size = math.ceil(count / self.config.accumulate)
        starts = range(0, count, size)
        total = torch.zeros((), device=self.accelerator.device)
        for first in starts:
            part = batch.part(first, first + size).to(self.accelerator.device)
            loss = self._loss(part, exchanges=first == starts[-1]) * (len(part.gt) / count)
            self.accelerator.backward(loss)
            total += loss.detach()
        if self.config.optimiser.clip_norm is not None:
            self.accelerator.clip_grad_norm_(
                self.objective.parameters(), self.config.optimiser.clip_norm
            )
        self.optimiser.step()
        self.optimiser.zero_grad()
        return total

    def _loss(self, part: TensorBatch, *, exchanges: bool) -> Tensor:
        """Return the loss of a part; processes exchange gradients with the last part only."""
        with self.accelerator.autocast():
            if exchanges:
                loss: Tensor = self.objective(part)
            else:
                with self.accelerator.no_sync(self.objective):
                    loss = self.objective(part)
        return loss

    def mean(self, losses: list[Tensor]) -> float:
        """Return the mean over steps and processes."""
        mean = torch.stack(losses).mean()
        return float(self.accelerator.reduce(mean, reduction="mean").item())

    def validated(self, done: Progress) -> tuple[Progress, dict[str, dict[str, float]]]:
        """Score the weights on whole images, and keep them if they are the best so far.

        Raises:
            OutputError: The disk is full, or the folder cannot be written.
        """
        if self.validation is None or not self.validation.images:
            return done, {}
        with self._averaged():
            weights = Weights(self.network, card_of(self.config), "in training")
            scores = self.validation.scores(weights)
            reached = mean_score(scores, self.config.select_by)
            if done.best is None or reached > done.best:
                done = replace(done, best=reached, best_step=done.step)
                listed = tuple(
                    Score(data=name, protocol="whole image, training run", values=values)
                    for name, values in scores.items()
                )
                with self.run.writing("The best weights"):
                    path = self.run.path / "best.safetensors"
                    save_weights(path, self.network, card_of(self.config, listed))
        return done, scores

    def save(self, done: Progress) -> None:
        """Write a checkpoint of all processes, and the weights as they are now.

        Raises:
            OutputError: The disk is full, or the folder cannot be written.
        """
        accelerator, run = self.accelerator, self.run
        folder = run.partial_path(done.step)
        with run.writing(f"The checkpoint of step {done.step}"):
            if accelerator.is_main_process:
                run.clear(folder)
            accelerator.wait_for_everyone()
            accelerator.save_state(str(folder))
            if accelerator.is_main_process:
                if self.average is not None:
                    save_file(self.average.state(), folder / "average.safetensors")
                with self._averaged():
                    path = run.path / "last.safetensors"
                    save_weights(path, self.network, card_of(self.config))
            accelerator.wait_for_everyone()
            if accelerator.is_main_process:
                run.complete(folder, done)
        accelerator.wait_for_everyone()

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Put the averaged weights into the network, and the trained ones back afterwards."""
        network = self.network
        was_training = network.training
        now = {name: p.detach().clone() for name, p in network.named_parameters()}
        network.eval()
        if self.average is not None:
            network.load_state_dict(self.average.state(), strict=False)
        try:
            yield
        finally:
            network.load_state_dict(now, strict=False)
            network.train(was_training)


def built(config: TrainConfig) -> FusionNetwork:
    """Return the untrained network of a run, or the one that its weights hold.

    Raises:
        CheckpointMismatchError: The network has no such setting, or the weights are of another one.
        ConfigError: The network does not know that start.
    """
    spec = config.network
    entry = find_network(spec.architecture)
    settings = entry.configure(spec.config, source=config.name)
    kind: Any = entry.load()
    network: FusionNetwork = kind(settings)
    if spec.weights is not None:
        given = load_named(spec.weights)
        if (given.card.architecture, given.model.config) != (spec.architecture, settings):
            raise CheckpointMismatchError(
                f"The run trains {spec.architecture} with {settings}, the weights {spec.weights} "
                f"are of {given.card.architecture} with {given.model.config}; set "
                "network.config to theirs, or leave network.weights out."
            )
        network.load_state_dict(given.model.state_dict())
    elif spec.start != "default":
        if not isinstance(network, U2Net):
            raise ConfigError(
                f"network.start = {spec.start!r} is for u2net, not for {spec.architecture}; leave "
                "it out."
            )
        if spec.start == "interpolation":
            start_from_interpolation(network, _phase(config, settings.ratio))
        else:
            start_from_base(network)
    return network


def card_of(config: TrainConfig, scores: tuple[Score, ...] = ()) -> WeightCard:
    """Return the card of the weights that a run makes."""
    spec = config.network
    settings = find_network(spec.architecture).configure(spec.config, source=config.name)
    return WeightCard(
        name=config.name,
        architecture=spec.architecture,
        config=settings_of(settings),
        tile=config.tile,
        phase=_phase(config, settings.ratio),
        consistent=config.consistent,
        consistency_noise=config.consistency_noise,
        scores=scores,
        bandweave=__version__,
        **config.card.model_dump(),
    )


def _phase(config: TrainConfig, ratio: int) -> tuple[float, float]:
    return config.data.phase or (ratio / 2, ratio / 2)


def _layers(config: TrainConfig, starter: Starter) -> dict[int, ConsistencyLayer]:
    if not config.consistent:
        return {}
    tiles = {tile_and_batch(config, 0)[0], config.tile}
    noise = config.consistency_noise
    return {tile: ConsistencyLayer(starter.operators, tile, noise) for tile in sorted(tiles)}


def _optimiser(config: TrainConfig, network: nn.Module) -> torch.optim.Optimizer:
    options = config.optimiser
    if options.kind == "sgd":
        return torch.optim.SGD(
            network.parameters(),
            lr=options.learning_rate,
            momentum=options.momentum,
            weight_decay=options.weight_decay,
        )
    kind = torch.optim.AdamW if options.kind == "adamw" else torch.optim.Adam
    return kind(
        network.parameters(),
        lr=options.learning_rate,
        betas=options.betas,
        weight_decay=options.weight_decay,
        fused=True,
    )


def adjust(optimiser: Any, device: torch.device, *, is_recorded: bool) -> None:
    """Let a recording see each new learning rate, which has to lie on the device for that."""
    for group in optimiser.param_groups:
        rate = float(group["lr"])
        group["lr"] = torch.tensor(rate, device=device) if is_recorded else rate
        if "capturable" in group:
            group["capturable"] = is_recorded


def _lay_as_weights(optimiser: Any) -> None:
    """Lay the optimiser's means in memory as the weights: a fused step reads them side by side."""
    for weight, means in optimiser.state.items():
        for name, mean in means.items():
            if mean.ndim == weight.ndim and mean.stride() != weight.stride():
                means[name] = torch.empty_like(weight).copy_(mean)


def _is_recordable(config: TrainConfig, accelerator: Accelerator, starter: Starter) -> bool:
    """Tell whether nothing but tensors on one GPU decides what a step does."""
    return (
        accelerator.device.type == "cuda"
        and accelerator.num_processes == 1
        and config.optimiser.kind != "sgd"  # takes its learning rate from the CPU
        and config.epoch is None  # the loss changes with it
        and len(starter.operators) <= 1  # the layer chooses among several on the CPU
    )


def _tiles_on(
    device: torch.device, material: Material, network: FusionNetwork
) -> DeviceTiles | None:
    """Keep the scenes on a GPU where they fill half of its free memory at most."""
    if device.type != "cuda":
        return None
    bands, ratio = network.config.bands, network.config.ratio
    sizes = {
        "spatial_bands": network.config.spatial_bands,
        "bands": bands,
        "start_bands": 0 if network.base is None else bands * network.members,
        "ratio": ratio,
    }
    if 2 * DeviceTiles.size(material.pixels, **sizes) > torch.cuda.mem_get_info(device)[0]:
        return None
    material.hold()
    return DeviceTiles(material.pixels, **sizes, device=device)
