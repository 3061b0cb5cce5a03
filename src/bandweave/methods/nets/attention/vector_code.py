"""Code in vectors of 16 lanes, written for LLVM: words, their products and powers, memory, loops.

A word is 32 bits: a float32, or two bfloat16, which processors with AVX512-BF16 multiply at twice
the rate. A value of LLVM's is `Any`; most are vectors.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import llvmlite.binding as llvm
from llvmlite import ir

LANES = 16

# 2^f for -1/2 <= f <= 1/2, least relative error: 7.5e-5, less than bfloat16 keeps, and 1.1e-7.
_POWER = {
    2: (0.999928057, 0.693260968, 0.242611125, 0.0551716685),
    1: (1.0, 0.693147004, 0.240222424, 0.0555073358, 0.00967151299, 0.00132647273),
}
# Smaller powers would be subnormal, whose products in float32 take some processors many times as
# long; those in bfloat16 take them for zero.
_LEAST_EXPONENT = -126.0
# Arguments of AVX-512's instructions: to the nearest whole number; all lanes; rounding as usual.
_NEAREST, _ALL_LANES, _AS_USUAL = 8, -1, 4

INDEX, WORD, FLOAT = ir.IntType(64), ir.IntType(32), ir.FloatType()
_LANES_CHOSEN = ir.IntType(LANES)
FLOATS, WORDS = ir.VectorType(FLOAT, LANES), ir.VectorType(WORD, LANES)
_POINTER = ir.PointerType()
_NAME = "loops"


class Table(NamedTuple):
    """Rows of words in memory."""

    address: Any
    stride: Any
    """Words from one row to the next."""


class _PairsOfBfloat16(ir.Type):  # type: ignore[misc]
    """16 words of two bfloat16; llvmlite has no name for them."""

    def _to_string(self) -> str:
        return f"<{2 * LANES} x bfloat>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _PairsOfBfloat16)

    def __hash__(self) -> int:
        return hash(_PairsOfBfloat16)


class VectorCode:
    """Writes one function, which takes addresses of vectors, then of tables, and a count."""

    def __init__(self, unit: int, vectors: int, tables: int) -> None:
        """Begin a function.

        Args:
            unit: Numbers per word: 1 float32 or 2 bfloat16.
            vectors: How many addresses of vectors it takes first.
            tables: How many tables it takes next: address, and words from row to row.
        """
        self.unit = unit
        self._module = ir.Module()
        self._fma = self._foreign("llvm.fma.v16f32", [FLOATS] * 3)
        if unit == 2:
            pairs = _PairsOfBfloat16()
            name = "llvm.x86.avx512bf16.dpbf16ps.512"
            self._dot_of_pairs = self._foreign(name, [FLOATS, pairs, pairs])
        chosen = [FLOATS, _LANES_CHOSEN, WORD]
        name = "llvm.x86.avx512.mask.{}.ps.512"
        self._rounded = self._foreign(name.format("rndscale"), [FLOATS, WORD, *chosen])
        self._scaled_by_power = self._foreign(name.format("scalef"), [FLOATS, FLOATS, *chosen])
        kinds = [_POINTER] * vectors + [_POINTER, INDEX] * tables + [INDEX]
        function = ir.Function(self._module, ir.FunctionType(ir.VoidType(), kinds), _NAME)
        self.build = ir.IRBuilder(function.append_basic_block())
        self._top = self.build.block
        *addresses, self.count = function.args
        self.vectors, pairs = addresses[:vectors], addresses[vectors:]
        self.tables = [Table(*pair) for pair in zip(pairs[::2], pairs[1::2], strict=True)]

    def compiled(self) -> Callable[..., None]:
        """End the function; return it for this processor."""
        self.build.ret_void()
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        machine = llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(),
            # LLVM would halve the vectors for processors that slow down with wide ones.
            features=f"{llvm.get_host_cpu_features().flatten()},-prefer-256-bit",
            opt=3,
        )
        module = llvm.parse_assembly(str(self._module))
        module.verify()
        # The one improvement that the code needs: local values become registers.
        passes = llvm.create_new_module_pass_manager()
        passes.add_sroa_pass()
        passes.run(module, llvm.create_pass_builder(machine, llvm.PipelineTuningOptions()))
        engine = llvm.create_mcjit_compiler(module, machine)
        engine.finalize_object()
        address, count = ctypes.c_void_p, ctypes.c_int64
        kinds = [address] * len(self.vectors) + [address, count] * len(self.tables) + [count]
        # ctypes gives the interpreter's lock to others meanwhile.
        function: Any = ctypes.CFUNCTYPE(None, *kinds)(engine.get_function_address(_NAME))
        function.engine = engine  # which owns the code
        return function  # type: ignore[no-any-return]

    def _foreign(self, name: str, arguments: list[Any]) -> Any:
        return ir.Function(self._module, ir.FunctionType(FLOATS, arguments), name)

    # Values

    def product(self, added: Any, left: Any, right: Any) -> Any:
        """Return `added` plus the products of one or two numbers per word."""
        build = self.build
        if self.unit == 2:
            pairs = (build.bitcast(words, _PairsOfBfloat16()) for words in (left, right))
            return build.call(self._dot_of_pairs, [added, *pairs])
        floats = (build.bitcast(words, FLOATS) for words in (left, right))
        return build.call(self._fma, [*floats, added])

    def power(self, exponent: Any) -> Any:
        """Return 2^x, of what is far below the smallest float32 a number near 0; NaN stays NaN."""
        build = self.build
        if self.unit == 1:
            least = in_all(_LEAST_EXPONENT)
            exponent = build.select(build.fcmp_ordered("<", exponent, least), least, exponent)
        always = in_all(0.0), _LANES_CHOSEN(_ALL_LANES), WORD(_AS_USUAL)
        whole = build.call(self._rounded, [exponent, WORD(_NEAREST), *always])
        fraction = build.fsub(exponent, whole)
        *lower, power = (in_all(c) for c in _POWER[self.unit])
        for coefficient in reversed(lower):
            power = build.call(self._fma, [power, fraction, coefficient])
        return build.call(self._scaled_by_power, [power, whole, *always])

    def sum_of(self, values: list[Any]) -> Any:
        """Return the sum of 2, 4, 8 ... values, neighbours first."""
        while len(values) > 1:
            pairs = zip(values[::2], values[1::2], strict=True)
            values = [self.build.fadd(a, b) for a, b in pairs]
        return values[0]

    def plus(self, value: Any, number: int) -> Any:
        """Add to an index."""
        return self.build.add(value, INDEX(number))

    def scaled(self, value: Any, number: int) -> Any:
        """Multiply an index."""
        return self.build.mul(value, INDEX(number))

    # Memory

    def local(self, kind: Any, size: int = 1) -> Any:
        """Return memory of the function; a single value of it becomes a register."""
        with self.build.goto_block(self._top):
            place = self.build.alloca(kind, size=size)
        place.align = 4 * LANES
        return place

    def sum_from(self, start: Any) -> Any:
        """Return where a sum is kept."""
        place = self.local(FLOATS)
        self.build.store(start, place)
        return place

    def load(self, place: Any) -> Any:
        """Return a sum."""
        return self.build.load(place, typ=FLOATS)

    def add(self, place: Any, value: Any) -> None:
        """Add to a sum."""
        self.build.store(self.build.fadd(self.load(place), value), place)

    def part(self, vector: Any, first: Any) -> Any:
        """Return 16 elements of a vector in memory."""
        part = self.build.load(self.build.gep(vector, [first], source_etype=FLOAT), typ=FLOATS)
        part.align = 4
        return part

    def store(self, part: Any, vector: Any, first: Any) -> None:
        """Write 16 elements of a vector in memory."""
        place = self.build.gep(vector, [first], source_etype=FLOAT)
        self.build.store(part, place).align = 4

    def spread(self, address: Any, at: Any, kind: Any) -> Any:
        """Return one element in memory, in all lanes."""
        build = self.build
        word = build.load(build.gep(address, [at], source_etype=kind), typ=kind)
        vector = ir.VectorType(kind, LANES)
        empty = ir.Constant(vector, ir.Undefined)
        filled = build.insert_element(empty, word, WORD(0))
        return build.shuffle_vector(filled, empty, in_all(0, WORDS))

    def turned(self, table: Table, first: Any, words: int) -> list[Any]:
        """Return the words of 16 consecutive rows, so that each row has its lane."""
        build = self.build
        scratch = self.local(WORD, words * LANES)
        with self.loop(INDEX(LANES), 1) as lane, self.loop(INDEX(words), 1) as t:
            source = build.add(build.mul(build.add(first, lane), table.stride), t)
            word = build.load(build.gep(table.address, [source], source_etype=WORD), typ=WORD)
            target = build.add(self.scaled(t, LANES), lane)
            build.store(word, build.gep(scratch, [target], source_etype=WORD))
        return [
            build.load(build.gep(scratch, [INDEX(t)], source_etype=WORDS), typ=WORDS)
            for t in range(words)
        ]

    def store_turned(self, vectors: list[Any], table: Table, first: Any) -> None:
        """Write one row of elements for each lane."""
        build = self.build
        scratch = self.local(FLOATS, len(vectors))
        for c, vector in enumerate(vectors):
            build.store(vector, build.gep(scratch, [INDEX(c)], source_etype=FLOATS))
        with self.loop(INDEX(LANES), 1) as lane, self.loop(INDEX(len(vectors)), 1) as c:
            source = build.add(self.scaled(c, LANES), lane)
            element = build.load(build.gep(scratch, [source], source_etype=FLOAT), typ=FLOAT)
            target = build.add(build.mul(build.add(first, lane), table.stride), c)
            build.store(element, build.gep(table.address, [target], source_etype=FLOAT))

    # Control

    @contextmanager
    def loop(self, count: Any, step: int) -> Iterator[Any]:
        """Count from 0 to below `count`, which is more than 0."""
        build = self.build
        before, body = build.block, build.append_basic_block()
        build.branch(body)
        build.position_at_end(body)
        index = build.phi(INDEX)
        index.add_incoming(INDEX(0), before)
        yield index
        after = self.plus(index, step)
        index.add_incoming(after, build.block)
        behind = build.append_basic_block()
        build.cbranch(build.icmp_signed("<", after, count), body, behind)
        build.position_at_end(behind)


def in_all(value: float, kind: Any = FLOATS) -> Any:
    """Return a constant in all lanes."""
    return ir.Constant(kind, [value] * LANES)
