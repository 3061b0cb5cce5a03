"""The loop: exact resuming, one step against an oracle, what stops it."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bandweave.errors import (
    ConfigError,
    DataWarning,
    DivergenceError,
    FileFormatError,
    FusionError,
    OutputError,
)
from bandweave.methods.nets.checkpoint import load_weights
from bandweave.train import loop, run_dir
from bandweave.train.batches import Batches, Material
from bandweave.train.config import TrainConfig
from bandweave.train.loop import TrainReport, train
from bandweave.train.run_dir import RunDir
from bandweave.train.runtime import built
from bandweave.train.start import Starter
from training import small_config, write_patches


def run(config: TrainConfig, out: Path) -> tuple[TrainReport, list[str]]:
    told: list[str] = []
    return train(config, out, told.append), told


def final_bits(out: Path) -> dict[str, bytes]:
    tensors = load_file(out / "last.safetensors")
    return {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}


def losses(out: Path) -> list[tuple[int, float]]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [(line["step"], line["loss"]) for line in lines if "loss" in line]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_patches(folder / "train.h5")
    return folder


@pytest.fixture(scope="module")
def undisturbed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "undisturbed"
    train(small_config(data), out, lambda _: None)
    return out


def test_a_run_writes_weights_that_load_with_their_card(undisturbed: Path) -> None:
    weights = load_weights(undisturbed / "last.safetensors")
    assert weights.card.band_names == ("blue", "green", "red", "nir")
    assert weights.card.tile == 32
    assert [step for step, _ in losses(undisturbed)] == list(range(1, 9))
    assert not list(undisturbed.glob("*.partial"))


@pytest.mark.parametrize("first", [1, 3, 6])
def test_interrupted_by_ctrl_c_it_ends_with_the_same_bits(
    data: Path, undisturbed: Path, tmp_path: Path, first: int
) -> None:
    told: list[str] = []

    def tell(text: str) -> None:
        told.append(text)
        if text.startswith(f"Step {first} "):
            os.kill(os.getpid(), signal.SIGINT)

    report = train(small_config(data), tmp_path / "run", tell)
    # The stop takes effect at the end of the step after the one reported.
    assert (report.step, report.is_finished) == (first + 1, False)
    report, told = run(small_config(data), tmp_path / "run")
    assert report.is_finished
    assert told[0] == f"Going on at step {first + 1} of 8."
    assert final_bits(tmp_path / "run") == final_bits(undisturbed)
    assert losses(tmp_path / "run") == losses(undisturbed)


KILLED_RUN = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from training import small_config
from bandweave.train import run_dir, runtime
from bandweave.train.loop import train
point, data, out = sys.argv[1:]
if point == "within a checkpoint":
    real = runtime.save_file
    def hang(*arguments):
        if Path(arguments[1]).parent.name.startswith("checkpoint-00000006"):
            print("now", flush=True)
            time.sleep(600)
        real(*arguments)
    runtime.save_file = hang
elif point == "before it gets its name":
    real_complete = run_dir.RunDir.complete
    def hang_complete(self, folder, progress):
        if progress.step == 6:
            print("now", flush=True)
            time.sleep(600)
        real_complete(self, folder, progress)
    run_dir.RunDir.complete = hang_complete
def tell(text):
    if point == "between checkpoints" and text.startswith("Step 5 "):
        print("now", flush=True)
        time.sleep(600)
train(small_config(Path(data)), Path(out), tell)
"""


@pytest.mark.multiprocess
@pytest.mark.slow
@pytest.mark.parametrize(
    "point", ["between checkpoints", "within a checkpoint", "before it gets its name"]
)
def test_killed_it_ends_with_the_same_bits(
    data: Path, undisturbed: Path, tmp_path: Path, point: str
) -> None:
    script = KILLED_RUN.format(tests=str(Path(__file__).parents[2]))
    out = tmp_path / "run"
    with subprocess.Popen(
        [sys.executable, "-c", script, point, str(data), str(out)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"now\n"
        process.kill()
    latest = RunDir(out).latest()
    assert latest is not None
    assert latest[1].step == 4
    run(small_config(data), out)
    assert not list(out.glob("*.partial"))
    assert final_bits(out) == final_bits(undisturbed)
    assert losses(out) == losses(undisturbed)


@pytest.mark.multiprocess
@pytest.mark.slow
@pytest.mark.parametrize(
    "launcher",
    [
        "torch.distributed.run --nproc_per_node=2 --master_port",
        "accelerate.commands.launch --multi_gpu --num_processes 2 --main_process_port",
    ],
    ids=["torchrun", "accelerate"],
)
def test_two_processes_give_the_same_losses(
    data: Path, undisturbed: Path, tmp_path: Path, launcher: str
) -> None:
    script = tmp_path / "go.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\n"
        f"sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n"
        "from training import small_config\nfrom bandweave.train.loop import train\n"
        f"train(small_config(Path({str(data)!r})), Path({str(tmp_path / 'run')!r}), print)\n"
        "import os\n"
        f"Path({str(tmp_path)!r}, 'rank' + os.environ['RANK']).write_text("
        "os.environ['WORLD_SIZE'])\n"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["-m", *launcher.split(), str(port)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, *command, str(script)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert [(tmp_path / f"rank{k}").read_text() for k in (0, 1)] == ["2", "2"]
    ours, alone = np.array(losses(tmp_path / "run")), np.array(losses(undisturbed))
    assert np.allclose(ours, alone, rtol=2e-5)


@pytest.mark.parametrize(
    ("optimiser", "loss", "border"),
    [
        ({"kind": "adamw", "learning_rate": 1e-3, "weight_decay": 0.1}, "l1", 0),
        # Adam's first step does not know how long the gradient is; this one is clipped to a fifth.
        ({"kind": "sgd", "learning_rate": 2.0, "clip_norm": 0.1}, "l1", 0),
        ({"kind": "sgd", "learning_rate": 2.0}, "mse", 6),
    ],
    ids=["adamw", "clipped", "border"],
)
def test_one_step_equals_an_oracle_in_float64(
    data: Path, tmp_path: Path, optimiser: dict[str, Any], loss: str, border: int
) -> None:
    """Loss, gradient, clipping and step written out, on the batch that the run drew."""
    config = small_config(data, steps=1, ema=None, loss=loss, border=border, optimiser=optimiser)
    run(config, tmp_path / "run")
    torch.manual_seed(config.seed)
    network = built(config).double()
    order = np.random.default_rng([config.seed, 2, 0]).permutation(12)[:4]
    with h5py.File(data / "train.h5") as file:
        images = {key: torch.from_numpy(file[key][()][order]).double() / 2047 for key in file}
    inside = slice(border, 32 - border)
    error = (network(images["pan"], images["ms"]) - images["gt"])[..., inside, inside]
    value = error.abs().mean() if loss == "l1" else (error**2).mean()
    value.backward()
    assert losses(tmp_path / "run")[0][1] == pytest.approx(value.item(), rel=1e-5)
    norm = torch.sqrt(sum((p.grad**2).sum() for p in network.parameters())).item()
    shrink = min(1.0, optimiser.get("clip_norm", np.inf) / norm)
    assert (shrink < 0.25) == ("clip_norm" in optimiser)
    trained = load_file(tmp_path / "run" / "last.safetensors")
    rate, decay = optimiser["learning_rate"], optimiser.get("weight_decay", 0.0)
    for name, parameter in network.named_parameters():
        gradient, before = parameter.grad, parameter.detach()
        if optimiser["kind"] == "sgd":
            expected = before - rate * shrink * gradient
            assert torch.allclose(trained[name].double(), expected, rtol=1e-5, atol=2e-7), name
            continue
        # The first step of Adam: both running means are corrected to the gradient itself.
        expected = before * (1 - rate * decay) - rate * gradient / (gradient.abs() + 1e-8)
        # Where a gradient is as small as its float32 rounding, its sign decides a whole step.
        clear = gradient.abs() > 1e-7
        assert torch.allclose(trained[name].double()[clear], expected[clear], atol=2e-5), name


def test_a_container_that_allows_one_core_gets_one_thread(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, seen = torch.get_num_threads(), []
    monkeypatch.setattr(loop, "usable_cores", lambda: 1)
    torch.set_num_threads(2)
    try:
        train(small_config(data, steps=1), tmp_path, lambda _: seen.append(torch.get_num_threads()))
    finally:
        torch.set_num_threads(before)
    assert set(seen) == {1}


def test_accumulated_parts_make_the_same_step(
    data: Path, undisturbed: Path, tmp_path: Path
) -> None:
    run(small_config(data, accumulate=3), tmp_path / "run")
    ours, whole = np.array(losses(tmp_path / "run")), np.array(losses(undisturbed))
    assert np.allclose(ours, whole, rtol=1e-4)


def test_bf16_rounds_the_attention_and_keeps_weights_in_float32(
    data: Path, undisturbed: Path, tmp_path: Path
) -> None:
    run(small_config(data, precision="bf16"), tmp_path)
    expected, actual = (dict(losses(out)) for out in (undisturbed, tmp_path))
    assert actual != expected
    assert actual == pytest.approx(expected, rel=1e-3)
    tensors = load_file(tmp_path / "last.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}


def test_a_loss_that_is_no_number_stops_and_names_the_batch(data: Path, tmp_path: Path) -> None:
    config = small_config(data, optimiser={"learning_rate": 1e30}, checkpoint_every=1, ema=None)
    with pytest.raises(
        DivergenceError, match=r"step \d+, on these tiles: train\.h5, patch .* step \d+ is kept"
    ):
        run(config, tmp_path / "run")
    latest = RunDir(tmp_path / "run").latest()
    assert latest is not None
    assert latest[1].step >= 1
    kept = load_file(latest[0] / "model.safetensors")
    assert all(torch.isfinite(tensor).all() for tensor in kept.values())
    early = config.model_copy(update={"checkpoint_every": 100})
    with pytest.raises(DivergenceError, match="there is no checkpoint yet"):
        run(early, tmp_path / "early")


def test_a_reference_that_is_no_number_is_named(data: Path, tmp_path: Path) -> None:
    write_patches(tmp_path / "train.h5")
    with h5py.File(tmp_path / "train.h5", "a") as file:
        file["gt"][7, 0, 3, 3] = np.nan
    with pytest.raises(
        DivergenceError,
        match=r"step 3, as these tiles hold values that are none: train\.h5, patch 7 at row 0, "
        r"column 0\. In .* the checkpoint of step 2 is kept; .* data that are mended there\.",
    ):
        run(small_config(tmp_path), tmp_path / "run")
    latest = RunDir(tmp_path / "run").latest()
    assert latest is not None
    assert latest[1].step == 2
    weights = load_weights(tmp_path / "run" / "last.safetensors").model
    assert all(torch.isfinite(tensor).all() for tensor in weights.state_dict().values())


def test_until_something_was_computed_settings_may_change(data: Path, tmp_path: Path) -> None:
    with pytest.raises(FusionError, match="Tiles of 64 pixels need"):
        run(small_config(data, tile=64), tmp_path / "run")
    assert run(small_config(data, steps=1), tmp_path / "run")[0].is_finished
    with pytest.raises(ConfigError, match="tile was 32 there and is 16 now"):
        run(small_config(data, steps=1, tile=16), tmp_path / "run")


def test_a_damaged_checkpoint_is_one_sentence(data: Path, tmp_path: Path) -> None:
    run(small_config(data, steps=2), tmp_path / "run")
    for name in ("optimizer.bin", "average.safetensors", "model.safetensors"):
        path = tmp_path / "run" / "checkpoint-00000002" / name
        path.write_bytes(path.read_bytes()[:100])
        with pytest.raises(FileFormatError, match=r"checkpoint-00000002 is damaged .*last\."):
            run(small_config(data, steps=2), tmp_path / "run")


def test_a_batch_is_dealt_out_evenly_or_not_at_all(data: Path) -> None:
    config = small_config(data)
    material = Material.of(config, Starter(None, None))
    with pytest.raises(ConfigError, match="3 processes cannot share a batch of 4 tiles evenly"):
        Batches(config, material, 0, 3)
    small = small_config(data, small_tiles={"tile": 16, "batch": 6})
    with pytest.raises(ConfigError, match="4 processes cannot share a batch of 6"):
        Batches(small, material, 0, 4)


def test_another_run_or_changed_data_are_refused(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    write_patches(folder / "train.h5", count=6)
    config = small_config(folder, steps=2)
    run(config, tmp_path / "run")
    with pytest.raises(ConfigError, match="batch was 4 there and is 2 now"):
        run(small_config(folder, steps=2, batch=2), tmp_path / "run")
    reworded = config.model_copy(update={"about": "The same, in other words."})
    (tmp_path / "run" / "checkpoint-00000003.partial").mkdir()
    assert run(reworded, tmp_path / "run") == run(config, tmp_path / "run")
    assert not list((tmp_path / "run").glob("*.partial"))
    write_patches(folder / "train.h5", count=7)
    with pytest.raises(ConfigError, match=r"train\.h5"):
        run(config, tmp_path / "run")


def test_a_large_file_that_was_written_since_is_told(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_dir, "_BLOCK", 64)
    folder = tmp_path / "data"
    folder.mkdir()
    path = write_patches(folder / "train.h5")
    config = small_config(folder, steps=1)
    run(config, tmp_path / "run")
    before, content = run_dir.fingerprint(path), bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    began = (tmp_path / "run" / "data.json").stat().st_mtime
    os.utime(path, (began + 5, began + 5))
    assert run_dir.fingerprint(path) == before
    with pytest.warns(DataWarning, match=r"train\.h5 was written after the run in .* began"):
        run(config, tmp_path / "run")
    os.utime(path, (began - 5, began - 5))
    run(config, tmp_path / "run")


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let every writer fail as on a full disk: no file may grow beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    ("file", "validates", "what"),
    [
        ("optimizer.bin", False, "The checkpoint of step 2"),
        ("model.safetensors", False, "The checkpoint of step 2"),
        ("../best.safetensors", True, "The best weights"),
        ("../log.jsonl", False, "The log"),
    ],
)
def test_a_full_disk_keeps_the_last_checkpoint(
    data: Path, undisturbed: Path, tmp_path: Path, file: str, validates: bool, what: str
) -> None:
    """The file that is named is the largest that cannot be written any more."""
    write_patches(data / "valid.h5", count=1)
    patches = [
        {"kind": "patches", "path": f"{k}.h5", "full_scale": 2047} for k in ("train", "valid")
    ]
    settings = {"root": str(data), "training": patches[:1], "validation": patches[1:] * validates}
    config, out = small_config(data, data=settings, validate_every=2), tmp_path / "run"
    train(config, out, lambda _: None, minutes=1e-9)
    kept = RunDir(out).latest()
    assert kept is not None
    assert kept[1].step == 1
    size = (kept[0] / file).stat().st_size
    # A first validation is the best one by itself.
    (out / "best.safetensors").unlink(missing_ok=True)
    progress = kept[0] / "progress.json"
    progress.write_text(json.dumps(json.loads(progress.read_text()) | {"best": None}))
    with largest_file(size - 100), pytest.raises(OutputError) as caught:
        run(config, out)
    assert re.fullmatch(
        rf"{what} could not be written to {out}: [^\n]+; the checkpoint of step 1 is kept, make "
        "room and run the same command again.",
        str(caught.value),
    )
    assert run(config, out)[0].is_finished
    assert final_bits(out) == final_bits(undisturbed)
    assert losses(out) == losses(undisturbed)


def test_truncated_and_foreign_data_are_one_sentence(data: Path, tmp_path: Path) -> None:
    whole = (data / "train.h5").read_bytes()
    (tmp_path / "train.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FusionError, match=r"train\.h5"):
        run(small_config(tmp_path), tmp_path / "a")
    with pytest.raises(FusionError, match="does not exist"):
        run(small_config(tmp_path / "nowhere"), tmp_path / "b")
    with h5py.File(data / "train.h5") as file, h5py.File(tmp_path / "train.h5", "w") as packed:
        for key, images in file.items():
            packed.create_dataset(
                key, data=images[()], chunks=(1, *images.shape[1:]), shuffle=1, compression="gzip"
            )
    content = bytearray((tmp_path / "train.h5").read_bytes())
    half = slice(len(content) // 2, len(content) // 2 + 4000)
    content[half] = bytes(byte ^ 0x5A for byte in content[half])
    (tmp_path / "train.h5").write_bytes(content)
    with pytest.raises(FileFormatError, match=r"train\.h5 could not be read at .*damaged"):
        run(small_config(tmp_path), tmp_path / "c")


@pytest.mark.parametrize("part", ["training", "validation"])
@pytest.mark.parametrize(
    ("settings", "bands", "message"),
    [
        ({}, 3, r"1 spatial and 4 spectral bands, other\.h5.* has 1 and 3"),
        ({"ratio": 2}, 4, r"ratio 2, (train|other)\.h5.* has ratio 4"),
    ],
)
def test_sources_that_do_not_suit_the_network_are_named_before_the_first_step(
    data: Path, tmp_path: Path, part: str, settings: dict[str, int], bands: int, message: str
) -> None:
    """Whichever source is odd, and whether it is learned from or only scored."""
    write_patches(data / "other.h5", count=2, bands=bands)
    sources = [
        {"kind": "patches", "path": f"{name}.h5", "full_scale": 2047} for name in ("train", "other")
    ]
    config = small_config(
        data,
        network={"config": {"bands": 4, "width": 4, "head_width": 2, **settings}},
        data={"root": str(data), "training": sources[:1], part: sources},
    )
    told: list[str] = []
    with pytest.raises(FusionError, match=message):
        train(config, tmp_path / "run", told.append)
    assert not told


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({"start": "interpolation", "architecture": "pnn", "config": {"bands": 4}}, "for u2net, not for pnn"),
        ({"config": {"bands": 4, "base": "gss"}}, "no method 'gss'; known methods are"),
        ({"config": {"bands": 4, "base": "pnn"}}, "cannot start from the network 'pnn'"),
        ({"config": {"bands": 4}, "weights": "u2net-l-wv"}, "bands=4.*u2net-l-wv are of .*bands=8"),
    ],
)  # fmt: skip
def test_networks_that_cannot_begin_so_are_one_sentence(
    data: Path, tmp_path: Path, network: dict[str, object], message: str
) -> None:
    with pytest.raises(FusionError, match=message):
        run(small_config(data, network=network), tmp_path / "run")


@pytest.mark.slow
def test_it_learns_one_batch_by_heart(tmp_path: Path) -> None:
    """Overfitting one batch reaches 60 dB: every part of the network can be trained."""
    write_patches(tmp_path / "train.h5", count=1, tile=16)
    config = small_config(
        tmp_path,
        tile=16,
        batch=1,
        steps=1200,
        log_every=300,
        checkpoint_every=1200,
        ema=None,
        loss="mse",
        network={"config": {"bands": 4, "width": 16, "head_width": 8}},
        optimiser={"learning_rate": 4e-3},
        schedule={"kind": "cosine", "warm_up": 50},
    )
    run(config, tmp_path / "run")
    mean_square = losses(tmp_path / "run")[-1][1]
    assert mean_square < 1e-6, f"{-10 * np.log10(mean_square):.1f} dB"


def test_slices_of_time_end_with_the_bits_of_an_undisturbed_run(
    data: Path, undisturbed: Path, tmp_path: Path
) -> None:
    for step in range(1, 8):  # a slice too short for a second step
        report = train(small_config(data), tmp_path, lambda _: None, minutes=1e-9)
        assert (report.step, report.is_finished) == (step, False)
    assert train(small_config(data), tmp_path, lambda _: None, minutes=60).is_finished
    assert final_bits(tmp_path) == final_bits(undisturbed)
