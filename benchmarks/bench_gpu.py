"""Everything that has a bar on a GPU, measured by one command on a machine that has one.

    python benchmarks/bench_gpu.py --out FOLDER [--only limits attention network scene ...]
    python benchmarks/bench_gpu.py --out FOLDER --cpu-rehearsal

Writes FOLDER/NAME.json for each part (environment, median, best and worst round) and, from what is
there, FOLDER/roofline.png (extra `plots`). Several parts run one after the other in processes of
their own, `--seconds` each at most: what a part has measured is written after each comparison and
stays when it fails or is stopped. `--cpu-rehearsal` runs the same code on tiny sizes on the CPU,
the kernels in Triton's interpreter: its figures mean nothing.

Half an hour in slices of ten minutes, each a command of its own:

    python benchmarks/bench_gpu.py --out gpu --only limits attention
    python benchmarks/bench_gpu.py --out gpu --only network training
    python benchmarks/bench_gpu.py --out gpu --only scene precision --shared SHARED --weights FILE

and where the training set is at hand, in as many slices as it takes:

    bandweave train u2net-wv3-paper --data PANCOLLECTION --set precision=bf16 --minutes 9

* limits: exponentials, products of matrices and bytes per second of this device.
* attention: the Triton kernels, cut in several ways and with part of the powers as a polynomial,
  beside every backend of `scaled_dot_product_attention`, forward alone and with the gradient; all
  as recorded graphs, since small maps take longer to be asked for than to be done.
* network: a batch of tiles in bf16, call by call, as a recorded graph, with and without the kernel
  for normalisation and maps, and what `torch.compile` makes of it as a graph.
* scene: a scene in memory to a scene in memory, 8 bands, overlap 16, beside the released way (one
  tile after the other, explicit softmax matrix) on the same device; with 16 bits and with single
  precision on the way back; on all devices together where there are several.
* precision: PSNR in bf16 less that in fp32 on the two real samples, with trained weights.
* training: steps at batch 16 as `bandweave train` takes them, beside the same with steps that are
  not recorded, with tiles cut on the CPU, and beside the released step; and the profile of a step.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the released way is an oracle there
from gpu.attention import attention, draw
from gpu.bench import FULL, TINY, Bench, Row, Rows, environment, reason
from gpu.limits import limits
from gpu.network import network
from gpu.precision import precision
from gpu.scene import scene
from gpu.training import training

PARTS: dict[str, Callable[[Bench], Rows]] = {
    "limits": limits,
    "attention": attention,
    "network": network,
    "scene": scene,
    "precision": precision,
    "training": training,
}


def measure(bench: Bench, name: str) -> int:
    """Measure one part; return 1 if it did not come to its end."""
    out = Path(bench.options.out)
    out.mkdir(parents=True, exist_ok=True)
    result: Row = {"environment": environment(bench), "results": {}}

    def write() -> None:
        (out / f"{name}.json").write_text(json.dumps(result, indent=1))

    try:
        for rows in PARTS[name](bench):
            result["results"] |= rows
            write()
    except Exception as error:  # noqa: BLE001  # what was measured before is worth keeping
        traceback.print_exc()
        result["failed"] = reason(error)
        write()
    print(name, json.dumps(result, indent=1), flush=True)
    draw(out)
    return int("failed" in result)


def measure_apart(names: list[str], options: argparse.Namespace) -> int:
    """Measure each part in a process of its own: an error of a device spoils all that follow."""
    broken = 0
    given = [f"--{key}={getattr(options, key)}" for key in ("out", "shared", "weights", "seconds")]
    for name in names:
        command = [sys.executable, __file__, "--only", name, *given]
        command += ["--cpu-rehearsal"] if options.cpu_rehearsal else []
        try:
            broken |= subprocess.run(command, check=False, timeout=options.seconds).returncode
        except subprocess.TimeoutExpired:
            print(f"{name} took longer than {options.seconds} s and was stopped.", flush=True)
            broken = 1
    return int(broken != 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True)
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--shared", default="", help="folder of the reference material")
    parser.add_argument("--weights", default="", help="trained weights for WorldView-3")
    parser.add_argument("--seconds", type=float, default=280, help="most for each of several parts")
    parser.add_argument("--cpu-rehearsal", action="store_true")
    options = parser.parse_args()
    if not options.cpu_rehearsal and not torch.cuda.is_available():
        print("No CUDA device was found; --cpu-rehearsal tries the script without one.")
        return 1
    names = list(options.only)
    is_given = options.cpu_rehearsal or (options.shared and options.weights)
    if "precision" in names and not is_given:
        print("The part `precision` needs --shared and --weights; it is left out.")
        names.remove("precision")
    if len(names) > 1:
        return measure_apart(names, options)
    device, size = ("cuda", FULL)
    if options.cpu_rehearsal:
        os.environ["TRITON_INTERPRET"] = "1"  # read when the kernels are imported
        device, size = ("cpu", TINY)
    bench = Bench(torch.device(device), size, options)
    return max((measure(bench, name) for name in names), default=0)


if __name__ == "__main__":
    sys.exit(main())
