"""Work that a CUDA device repeats without being told every step of it again.

A network of some hundred small kernels keeps a GPU waiting for Python. A recording starts all of
them with one call. It reads and writes the same memory each time.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def recorded(work: Callable[[], Tensor], stream: torch.cuda.Stream | None) -> Callable[[], Tensor]:
    """Record what `work` would do, without doing it, and return what does it.

    Args:
        work: Reads tensors that stay where they are and returns one. All kernels it needs have run
            on the stream before. No value on the device decides what it does.
        stream: The current stream; None on a CPU, where `work` is its own recording.

    Returns:
        Does the work on the current stream. Its result is overwritten by the next call.
    """
    if stream is None:
        return work
    graph = torch.cuda.CUDAGraph()
    # Other threads go on with their own streams meanwhile.
    with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
        result = work()

    def replay() -> Tensor:
        graph.replay()
        return result

    return replay


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """Bring a tensor to a device, from the CPU in the background where that is possible."""
    if device.type != "cuda" or tensor.is_cuda:
        return tensor.to(device)
    # Copies from other memory wait for all that the device has been told before.
    return tensor.pin_memory().to(device, non_blocking=True)
