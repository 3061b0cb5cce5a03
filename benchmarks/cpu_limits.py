"""What this processor does at most of what attention is made of, in vectors of AVX-512.

Loops written with the vector code of bandweave's own attention, so that a multiply-add and an
exponential are here what they are there, and compiled by the same LLVM. They hold everything in
registers: no table is read, nothing is kept. Chains of sums that do not wait for each other, enough
to fill the arithmetic units, and exponentials of numbers that LLVM cannot see through.

Needs llvmlite (extra `fast`) and AVX-512; bfloat16 needs AVX512-BF16. Processors with AMX multiply
bfloat16 still faster than the pairs that are measured here.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir

from bandweave.methods.nets.attention.vector_code import (
    FLOATS,
    INDEX,
    LANES,
    WORDS,
    VectorCode,
)

# Chains: 2 units with results after 4 cycles are filled by 8. Numbers in 32 registers: the sums,
# two factors, and as many exponents as leave room for what is computed with them.
_CHAINS, _UNROLLED = 16, 8
_EXPONENTS, _AMONG_SUMS = 8, 4
_MULTIPLICATIONS, _CYCLES_EACH = 64, 3  # of whole numbers, on processors of the last ten years

_START = 0.5, 1.0, 1.0  # exponent or first sum, two factors


@dataclass(frozen=True)
class Work:
    """Machine code that does one thing over and over."""

    loop: Callable[[int, int], None]
    """Takes the address of three vectors in memory, and how often."""
    amount: int
    """How much of it each time."""

    def __call__(self, times: int, threads: int) -> int:
        """Do it on several threads at once; return how much was done."""
        list(_pool(threads).map(self._once, [times] * threads))
        return times * threads * self.amount

    def _once(self, times: int) -> None:
        # More pages than one keep threads from writing to one line of the cache.
        room = np.zeros(2048, np.float32)
        room[: len(_START) * LANES] = np.repeat(np.float32(_START), LANES)
        self.loop(room.ctypes.data, times)


@cache
def multiply_adds(unit: int) -> Work:
    """Return multiply-adds: in float32 (unit 1), or of pairs of bfloat16 (unit 2)."""
    code = _Code(unit)
    sums = code.sums()
    with code.loop(code.count, 1):
        for place in sums * _UNROLLED:
            code.multiply_add(place)
    code.end_with(sums)
    return Work(code.compiled(), _CHAINS * _UNROLLED * LANES * unit)


@cache
def exponentials(unit: int) -> Work:
    """Return powers of 2, with the polynomial of the loops in float32 (unit 1) or bfloat16 (2)."""
    code = _Code(unit)
    exponents = code.exponents(_EXPONENTS)
    with code.loop(code.count, 1):
        for place in exponents:
            code.raise_to(place)
    return Work(code.compiled(), _EXPONENTS * LANES)


@cache
def both(unit: int, multiply_adds_each: int) -> Work:
    """Return exponentials with so many multiply-adds for each, side by side as far as they go.

    Units for additions and for whole numbers, which polynomials also need, may run beside those
    that multiply: then this takes less time than first the one and then the other.
    """
    code = _Code(unit)
    exponents, sums = code.exponents(_AMONG_SUMS), code.sums()
    chain = 0
    with code.loop(code.count, 1):
        for place in exponents:
            code.raise_to(place)
            for _ in range(multiply_adds_each // unit):
                code.multiply_add(sums[chain % _CHAINS])
                chain += 1
    code.end_with(sums)
    return Work(code.compiled(), _AMONG_SUMS * LANES)


@cache
def cycles() -> Work:
    """Return cycles of the clock, told by multiplications that wait for each other."""
    code = _Code(1)
    build = code.build
    place = code.local(INDEX)
    build.store(code.count, place)
    with code.loop(code.count, 1):
        for _ in range(_MULTIPLICATIONS):
            value = build.load(place, typ=INDEX)
            build.store(build.mul(value, value), place)
    build.store(build.load(place, typ=INDEX), code.vectors[0]).align = 4
    return Work(code.compiled(), _MULTIPLICATIONS * _CYCLES_EACH)


class _Code(VectorCode):
    """A function of three vectors in memory and of how often something is done."""

    def __init__(self, unit: int) -> None:
        super().__init__(unit, 1, 0)
        self._first, *self._factors = (
            self.part(self.vectors[0], INDEX(k * LANES)) for k in range(len(_START))
        )

    def sums(self) -> list[Any]:
        return [self.sum_from(self._first) for _ in range(_CHAINS)]

    def exponents(self, count: int) -> list[Any]:
        return [self.sum_from(self._first) for _ in range(count)]

    def multiply_add(self, place: Any) -> None:
        left, right = (self.build.bitcast(factor, WORDS) for factor in self._factors)
        self.build.store(self.product(self.load(place), left, right), place)

    def raise_to(self, place: Any) -> None:
        """Compute a power that nobody needs, of a number that stays what it is."""
        exponent = self.load(place)
        # Empty assembly code: what it may read has to be computed, what it may change each time.
        self._assembly(ir.VoidType(), "v", self.power(exponent))
        self.build.store(self._assembly(FLOATS, "=v,0", exponent), place)

    def end_with(self, sums: list[Any]) -> None:
        self.store(self.sum_of([self.load(place) for place in sums]), self.vectors[0], INDEX(0))

    def _assembly(self, kind: Any, constraint: str, value: Any) -> Any:
        function = ir.FunctionType(kind, [FLOATS])
        return self.build.asm(function, "", constraint, [value], side_effect=True)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="limits")
