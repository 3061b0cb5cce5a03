"""Memory that is used again, but never while somebody still looks at it."""

import gc

import numpy as np

from bandweave.mosaic.row_memory import ReusedMemory


def place(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def test_memory_is_used_again_when_the_array_is_dropped() -> None:
    memory = ReusedMemory()
    first = memory.empty((3, 5, 7), np.float32)
    assert first.shape == (3, 5, 7)
    assert first.dtype == np.float32
    assert first.flags.writeable
    assert first.flags.c_contiguous
    start = place(first)
    del first
    second = memory.empty((3, 2, 7), np.uint16)
    assert place(second) == start


def test_memory_is_not_used_again_while_a_view_is_held() -> None:
    memory = ReusedMemory()
    array = memory.empty((3, 5, 7), np.float32)
    array[:] = 1
    view = array.astype(np.float32, copy=False)[1:].reshape(-1, 7)[:, 3:]
    assert np.shares_memory(view, array)
    del array
    gc.collect()
    other = memory.empty((3, 5, 7), np.float32)
    other[:] = 2
    assert (view == 1).all()


def test_a_larger_array_gets_memory_of_its_own() -> None:
    memory = ReusedMemory()
    small = memory.empty((3, 5), np.uint8)
    del small
    large = memory.empty((100, 100), np.float64)
    large[:] = 3
    assert large.sum() == 30_000
