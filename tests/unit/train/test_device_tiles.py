"""What a GPU does in training, done on the CPU: the same tiles, the same steps, no look at a value."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from bandweave.methods.nets.attention.layer import SpatialAttention
from bandweave.methods.nets.inference import lay_channels_last
from bandweave.methods.nets.network import FusionNetwork
from bandweave.methods.nets.table import find_network
from bandweave.pair import PairProfile
from bandweave.train import runtime
from bandweave.train.batches import Batches, Material, ScenePool
from bandweave.train.config import TrainConfig
from bandweave.train.device_tiles import DeviceTiles
from bandweave.train.loop import train
from bandweave.train.loss import Objective, TensorBatch
from bandweave.train.recipes.paper import baseline, u2net_paper
from bandweave.train.recipes.published import PUBLISHED_RECIPES
from bandweave.train.recorded_step import RecordedStep
from bandweave.train.runtime import built
from bandweave.train.scene import TrainingScene
from bandweave.train.simulate import SceneMaker
from bandweave.train.start import Starter
from training import small_config, write_patches

CPU = torch.device("cpu")
RATIO, TILE = 4, 16
SHAPES = {"high": (44, 36), "wide": (28, 60)}


def scene(seed: int, shape: tuple[int, int], members: int = 2) -> TrainingScene:
    rng = np.random.default_rng(seed)
    height, width = shape
    return TrainingScene(
        spatial=rng.random((1, height, width), np.float32),
        spectral=rng.random((3, height // RATIO, width // RATIO), np.float32),
        gt=rng.random((3, height, width), np.float32),
        ratio=RATIO,
        phase=(2.0, 2.0),
        start=rng.random((3 * members, height, width), np.float32),
        operator=seed % 2,
        name=f"scene {seed}",
    )


class Numbered(Starter):
    """Makes scenes of random numbers out of the generator's state."""

    def scene(self, reduced: Any, name: str) -> TrainingScene:
        return scene(int(reduced), SHAPES[name])


def pool(refresh: int) -> ScenePool:
    makers = [
        SceneMaker(
            name,
            lambda rng: int(rng.integers(1000)),  # type: ignore[arg-type, return-value]
            PairProfile(shape, 1, 3, RATIO, (2.0, 2.0)),
            name == "high",
        )
        for name, shape in SHAPES.items()
    ]
    return ScenePool(makers, Numbered(None, None), 1, 2, refresh, True)


def tiles_for(material: Material) -> DeviceTiles:
    return DeviceTiles(
        material.pixels, spatial_bands=1, bands=3, start_bands=6, ratio=RATIO, device=CPU
    )


def equal(ours: TensorBatch, theirs: TensorBatch) -> bool:
    pairs = zip((*ours.images, ours.operator), (*theirs.images, theirs.operator), strict=True)
    return all(torch.equal(a, b) for a, b in pairs) and ours.epoch == theirs.epoch


def test_tiles_gathered_on_the_device_are_those_cut_here(tmp_path: Path) -> None:
    """All eight symmetries, versions made anew, two sources, scenes higher and wider than long."""
    config = small_config(tmp_path, tile=TILE, batch=9, steps=40, epoch=7)
    material = Material((pool(refresh=6), pool(refresh=0)), (0.5, 0.5))
    again = Material((pool(refresh=6), pool(refresh=0)), (0.5, 0.5))
    there = Batches(config, again, tiles=tiles_for(again)).since(3)
    for (ours, where), (theirs, places) in zip(
        there, Batches(config, material).since(3), strict=True
    ):
        assert equal(ours, theirs)
        assert where == places


def test_patches_are_read_once_where_they_lie_on_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_patches(tmp_path / "train.h5", bands=3)
    changes = {"network": {"config": {"bands": 3}}, "steps": 9, "tile": TILE, "ema": None}
    config = small_config(tmp_path, **changes)
    config = config.model_copy(update={"data": config.data.model_copy(update={"symmetries": True})})
    starter = Starter(None, None)
    expected = list(Batches(config, Material.of(config, starter)).since(0))
    material = Material.of(config, starter)
    assert material.pixels == 12 * 32 * 32
    material.hold()
    sizes = {"spatial_bands": 1, "bands": 3, "start_bands": 0, "ratio": RATIO}
    assert DeviceTiles.size(1600, **sizes) == 4 * (1600 + 3 * 1600 + 3 * 100)
    tiles = DeviceTiles(material.pixels, **sizes, device=CPU)
    read: list[int] = []
    kind = type(material.pools[0].pairs)  # type: ignore[attr-defined]
    item = kind.item
    monkeypatch.setattr(kind, "item", lambda pairs, k: read.append(k) or item(pairs, k))
    counted: list[None] = []
    count = kind.__len__
    monkeypatch.setattr(kind, "__len__", lambda pairs: counted.append(None) or count(pairs))
    for (ours, _), (theirs, _) in zip(
        Batches(config, material, tiles=tiles).since(0), expected, strict=True
    ):
        assert ours.start is None
        assert equal(ours, theirs)
    assert sorted(read) == list(range(12))
    # Neither does a draw ask the file for anything: it would take most of its time.
    assert len(counted) == len(read)


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let runs on this CPU take the way of a GPU, weights' channels last; count the steps played."""
    played: list[int] = []
    recorded = runtime.RecordedStep

    def tiles_on(_: object, material: Material, network: Any) -> DeviceTiles:
        material.hold()
        return DeviceTiles(
            material.pixels,
            spatial_bands=1,
            bands=network.config.bands,
            start_bands=0,
            ratio=RATIO,
            device=CPU,
        )

    class Counting(recorded):  # type: ignore[misc, valid-type]
        def __call__(self, take: Any, batch: TensorBatch) -> Tensor:
            loss: Tensor = super().__call__(take, batch)
            played.append(len(self._recordings))
            return loss

    def laid(config: TrainConfig) -> FusionNetwork:
        network = built(config)
        lay_channels_last(network)
        return network

    monkeypatch.setattr(runtime, "built", laid)
    monkeypatch.setattr(runtime, "RecordedStep", Counting)
    monkeypatch.setattr(runtime, "_tiles_on", tiles_on)
    monkeypatch.setattr(runtime, "_is_recordable", lambda *_: True)
    return played


def weights_of(config: TrainConfig, out: Path, **options: Any) -> dict[str, Tensor]:
    train(config, out, lambda _: None, **options)
    return load_file(out / "last.safetensors")


def same_bits(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> bool:
    return all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def test_the_way_of_a_gpu_trains_alike_and_resumes(tmp_path: Path, as_on_a_gpu: list[int]) -> None:
    write_patches(tmp_path / "train.h5")
    config = small_config(
        tmp_path, small_tiles={"tile": 16, "batch": 6, "share": 0.5}, steps=10, accumulate=2
    )
    whole = weights_of(config, tmp_path / "whole")
    # Three plain steps per shape: five steps on small tiles, five on large ones.
    assert as_on_a_gpu == [0, 0, 0, 1, 1, 1, 1, 1, 2, 2]
    for _ in range(2):
        weights_of(config, tmp_path / "parts", minutes=1e-9)
    assert same_bits(weights_of(config, tmp_path / "parts"), whole)


def test_checkpoints_go_between_cpu_and_gpu(
    tmp_path: Path, as_on_a_gpu: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_patches(tmp_path / "train.h5")
    config = small_config(tmp_path, steps=4)
    expected = weights_of(config, tmp_path / "there")
    for _ in range(2):  # steps here and there in turn
        with monkeypatch.context() as here:
            here.setattr(runtime, "built", built)
            here.setattr(runtime, "_is_recordable", lambda *_: False)
            here.setattr(runtime, "_tiles_on", lambda *_: None)
            weights_of(config, tmp_path / "both", minutes=1e-9)
        mixed = weights_of(config, tmp_path / "both", minutes=1e-9)
    assert as_on_a_gpu
    for name, tensor in mixed.items():
        # The learning rate has single precision on a device.
        torch.testing.assert_close(tensor, expected[name], rtol=1e-5, atol=1e-7)


def test_convolutions_of_a_step_are_exact_and_elsewhere_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_patches(tmp_path / "train.h5")
    convolutions, forward = torch.backends.cudnn.conv, Objective.forward
    before, seen = convolutions.fp32_precision, []

    def look(_: object) -> None:
        seen.append(convolutions.fp32_precision)

    def watched(objective: Objective, batch: TensorBatch) -> Tensor:
        look(batch)
        loss = forward(objective, batch)
        loss.register_hook(look)
        return loss

    monkeypatch.setattr(Objective, "forward", watched)
    train(small_config(tmp_path, steps=2), tmp_path / "run", lambda _: None)
    assert seen == ["ieee"] * 4
    assert convolutions.fp32_precision == before
    assert before != "ieee"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_steps_played_on_a_gpu_have_the_losses_of_plain_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    write_patches(tmp_path / "train.h5")
    config = small_config(tmp_path, steps=12).model_copy(update={"precision": precision})
    runs = {}
    for name in ("played", "plain"):
        train(config, tmp_path / name, lambda _: None)
        lines = (tmp_path / name / "log.jsonl").read_text().splitlines()
        rows = [json.loads(line) for line in lines]
        runs[name] = [row["loss"] for row in rows if "loss" in row]
        monkeypatch.setattr(runtime, "_is_recordable", lambda *_: False)
    played, plain = runs["played"], runs["plain"]
    assert len(played) == 12
    # Gradients are summed in no fixed order there; a step left out or taken twice shows in more.
    assert played == pytest.approx(plain, rel=2e-3)
    assert abs(plain[-1] - plain[-2]) > 4e-3 * plain[-1]


def test_a_recorded_step_hands_out_losses_of_their_own() -> None:
    step = RecordedStep(CPU)
    shared = torch.zeros(())

    def take(batch: TensorBatch) -> Tensor:
        return shared.copy_(batch.gt.sum())

    losses = []
    for k in range(6):
        image = torch.full((1, 1, 4, 4), float(k))
        losses.append(step(take, TensorBatch(image, image, None, image.clone(), torch.zeros(1))))
    assert [float(loss) for loss in losses[3:]] == [48.0, 64.0, 80.0]


def plain_attention(
    _: SpatialAttention, query: Tensor, key: Tensor, value: Tensor, *product: Tensor
) -> Tensor:
    attended = torch.softmax(query @ key.mT / query.shape[-1] ** 0.5, -1) @ value
    return attended * (product[0] @ product[1]) if product else attended


class NoLook(TorchDispatchMode):
    """Refuse what would wait for a device to learn a value, or cannot be recorded."""

    refused = ("_local_scalar_dense", "nonzero", "equal", "is_nonzero", "masked_select", "unique")

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = str(func).split(".")[1]
        assert name not in self.refused, f"{func} looks at a value"
        return func(*args, **(kwargs or {}))


# BDPN's loss changes with the epoch, and is not recorded.
RECIPES = [name for name in PUBLISHED_RECIPES if not name.startswith("bdpn")]


@pytest.mark.parametrize("name", [*RECIPES, "u2net"])
def test_no_step_looks_at_a_value(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = u2net_paper(name, data_set="wv3") if name == "u2net" else baseline(name)
    entry = find_network(config.network.architecture)
    settings = entry.configure(config.network.config, source=name)
    network = entry.load()(settings)  # type: ignore[operator]
    objective = Objective(network, config.model_copy(update={"border": 0}), {})
    tile, ratio, bands = 16, settings.ratio, settings.bands
    gt = torch.rand(2, bands, tile, tile)
    batch = TensorBatch(
        torch.rand(2, settings.spatial_bands, tile, tile),
        torch.rand(2, bands, tile // ratio, tile // ratio),
        None if network.base is None else torch.rand(2, bands, tile, tile),
        gt,
        torch.zeros(2, dtype=torch.long),
    )
    # What computes it on a GPU is not what does so here.
    monkeypatch.setattr(SpatialAttention, "forward", plain_attention)
    with NoLook():
        objective(batch).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
