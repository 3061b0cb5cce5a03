"""Convolutions on GPUs without the rounding that they do by default."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# The switch is one for all threads.
_EXCLUSIVE = threading.Lock()


@contextmanager
def exact_convolutions() -> Iterator[None]:
    """Let convolutions of float32 compute in float32; for one thread at a time.

    By default cuDNN rounds their arguments to 10 bits of mantissa (TF32). Products of matrices are
    exact unless somebody asks for less. On a CPU this changes nothing.

    PyTorch has an older switch for all of cuDNN too, `allow_tf32`, which refuses to be read while
    convolutions differ from what it says; nothing here reads it.
    """
    # torch has no annotations there.
    convolutions = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    with _EXCLUSIVE:
        before = convolutions.fp32_precision
        convolutions.fp32_precision = "ieee"
        try:
            yield
        finally:
            convolutions.fp32_precision = before
