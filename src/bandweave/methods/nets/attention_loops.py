"""The inner loops of softmax attention as machine code for AVX-512, written for LLVM.

They hold 16 pixels of one side in the 16 lanes of a vector, and go through the pixels of the other
side one by one, without anything the size of the score matrix. What both sides bring are words of
32 bits: a float32, or two bfloat16, which processors with AVX512-BF16 multiply at twice the rate.

| table | shape | a word in bfloat16 holds |
|---|---|---|
| of vectors, one factor of a score each | `(pixels, T)` | elements 2t and 2t + 1 of a pixel |
| of what is weighed and added up | `(pixels / unit, C)` | one element of two pixels |

with T = S / unit, and unit 2 in bfloat16, 1 in float32. The number of pixels is a multiple of 16.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

import llvmlite.binding as llvm
from llvmlite import ir

LANES = 16

# Words of one side whose powers are kept at a time, in the innermost cache, and how many are
# computed side by side so that no product waits for the one before.
_BLOCK, _ABREAST = 64, {1: 4, 2: 2}

# 2^f for -1/2 <= f <= 1/2, least relative error: 7.5e-5, less than bfloat16 keeps, and 7.5e-8.
_POWER = {
    2: (0.999928057, 0.693260968, 0.242611125, 0.0551716685),
    1: (1.0, 0.693147242, 0.240222618, 0.0555044301, 0.00967584923, 0.0013396665),
}
# Added to a float32 and taken off again, this rounds it to a whole number, and leaves that number
# in its last bits.
_ROUNDING = 1.5 * 2.0**23
_EXPONENT_BITS = 23
_LEAST_EXPONENT = -126.0

_INDEX, _WORD, _FLOAT = ir.IntType(64), ir.IntType(32), ir.FloatType()
_FLOATS, _WORDS = ir.VectorType(_FLOAT, LANES), ir.VectorType(_WORD, LANES)
_POINTER = ir.PointerType()


class Loops:
    """The three loops over all pairs of pixels for one head width and type, compiled when made.

    Each takes the addresses of vectors `(pixels,)`, then address and words from row to row of
    each table, then the number of pixels.
    """

    def __init__(self, width: int, unit: int) -> None:
        writer = _Writer(width, unit)
        writer.write_forward()
        writer.write_by_query()
        writer.write_by_key()
        self._engine = _compiled(str(writer.module))
        self.forward = self._function("forward", 2, 4)
        """Starts of the scores, sums of the powers (added to); queries, keys, what is weighed;
        result: means."""
        self.by_query = self._function("by_query", 2, 6)
        """Starts of the scores for powers that sum up to 1, starts of the slopes; queries,
        gradients, keys, values, keys as what is weighed; result: sums."""
        self.by_key = self._function("by_key", 2, 8)
        """The same starts; keys, values, queries, gradients, both of these as what is weighed,
        gradients first; results: sums by value and by key."""

    def _function(self, name: str, vectors: int, tables: int) -> Callable[..., None]:
        address, count = ctypes.c_void_p, ctypes.c_int64
        # ctypes gives the interpreter's lock to others meanwhile.
        kind = ctypes.CFUNCTYPE(None, *[address] * vectors, *[address, count] * tables, count)
        return kind(self._engine.get_function_address(name))


@cache
def loops(width: int, unit: int) -> Loops:
    """Return the loops for heads of `width` elements, in bfloat16 where `unit` is 2.

    They take 0.1 s to compile; widths up to 16 keep what they add up in the processor's registers.
    """
    return Loops(width, unit)


def _compiled(text: str) -> Any:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        # LLVM would halve the vectors for processors that slow down with wide ones.
        features=f"{llvm.get_host_cpu_features().flatten()},-prefer-256-bit",
        opt=3,
    )
    module = llvm.parse_assembly(text)
    module.verify()
    tuning = llvm.create_pipeline_tuning_options(speed_level=2)
    tuning.loop_unrolling = False  # they are as long as is good already
    builder = llvm.create_pass_builder(machine, tuning)
    builder.getModulePassManager().run(module, builder)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    return engine


class _Table(NamedTuple):
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


class _Writer:
    """Writes the loops; a value of LLVM's is `Any`, and most are vectors of 16 lanes."""

    def __init__(self, width: int, unit: int) -> None:
        self.width, self.unit, self.words = width, unit, width // unit
        self.module = ir.Module("attention")
        three = [_FLOATS] * 3
        self.fma = self._foreign("llvm.fma.v16f32", three)
        if unit == 2:
            pairs = _PairsOfBfloat16()
            name = "llvm.x86.avx512bf16.dpbf16ps.512"
            self.dot_of_pairs = self._foreign(name, [_FLOATS, pairs, pairs])

    def _foreign(self, name: str, arguments: list[Any]) -> Any:
        return ir.Function(self.module, ir.FunctionType(_FLOATS, arguments), name)

    # The three loops

    def write_forward(self) -> None:
        """Mean of the rows of what is weighed, by the powers of 2 of the scores."""
        (starts, totals), tables, pixels = self._begin("forward", 2, 4)
        queries, keys, weighed, means = tables
        buffer = self._buffer()
        with self._loop(pixels, LANES) as first:
            lanes, start = self._turned(queries, first), self._vector(starts, first)
            total, sums = self._sum(self._vector(totals, first)), self._sums()
            with self._parts(pixels) as (offset, count):
                with self._loop(count, _ABREAST[self.unit]) as k:
                    rows = self._rows(offset, k)
                    powers = [self._power(x) for x in self._scores(lanes, keys, rows, start)]
                    kept = self._keep(powers, buffer, k)
                    self._add(total, self._tree(kept))
                self._weigh(buffer, weighed, offset, count, sums)
            sum_of_powers = self._load(total)
            self._store(sum_of_powers, totals, first)
            quotients = [self.build.fdiv(self._load(one), sum_of_powers) for one in sums]
            self._store_turned(quotients, means, first)
        self.build.ret_void()

    def write_by_query(self) -> None:
        """Sums of keys by power times slope: pixels of the query are in the lanes."""
        (starts, levels), tables, pixels = self._begin("by_query", 2, 6)
        queries, gradients, keys, values, weighed, result = tables
        buffer = self._buffer()
        with self._loop(pixels, LANES) as first:
            lanes = self._turned(queries, first), self._turned(gradients, first)
            start, level = self._vector(starts, first), self._vector(levels, first)
            sums = self._sums()
            with self._parts(pixels) as (offset, count):
                with self._loop(count, _ABREAST[self.unit]) as k:
                    rows = self._rows(offset, k)
                    powers = [self._power(x) for x in self._scores(lanes[0], keys, rows, start)]
                    slopes = self._scores(lanes[1], values, rows, level)
                    self._keep(self._times(powers, slopes), buffer, k)
                self._weigh(buffer, weighed, offset, count, sums)
            self._store_turned([self._load(one) for one in sums], result, first)
        self.build.ret_void()

    def write_by_key(self) -> None:
        """Sums of gradients by power, of queries by power times slope: keys are in the lanes."""
        (starts, levels), tables, pixels = self._begin("by_key", 2, 8)
        keys, values, queries, gradients, *weighed = tables[:6]
        results = tables[6:]
        buffers = self._buffer(), self._buffer()
        with self._loop(pixels, LANES) as first:
            lanes = self._turned(keys, first), self._turned(values, first)
            sums = [self._sums() for _ in results]
            with self._parts(pixels) as (offset, count):
                with self._loop(count, _ABREAST[self.unit]) as k:
                    rows = self._rows(offset, k)
                    start, level = (
                        [self._spread(vector, row, _FLOAT) for row in rows]
                        for vector in (starts, levels)
                    )
                    scores = self._scores(lanes[0], queries, rows, *start)
                    powers = [self._power(x) for x in scores]
                    slopes = self._scores(lanes[1], gradients, rows, *level)
                    self._keep(powers, buffers[0], k)
                    self._keep(self._times(powers, slopes), buffers[1], k)
                for buffer, table, added in zip(buffers, weighed, sums, strict=True):
                    self._weigh(buffer, table, offset, count, added)
            for table, added in zip(results, sums, strict=True):
                self._store_turned([self._load(one) for one in added], table, first)
        self.build.ret_void()

    # Their parts

    def _scores(self, lanes: list[Any], table: _Table, rows: list[Any], *starts: Any) -> list[Any]:
        """Products of the pixels in the lanes with some rows, added to one start or one each."""
        sums = list(starts) if len(starts) > 1 else list(starts) * len(rows)
        firsts = [self.build.mul(row, table.stride) for row in rows]
        for t, lane in enumerate(lanes):
            for n, first in enumerate(firsts):
                word = self._spread(table.address, self._plus(first, t), _WORD)
                sums[n] = self._product(sums[n], lane, word)
        return sums

    def _power(self, exponent: Any) -> Any:
        """2^x, x at most 127; NaN stays NaN."""
        build = self.build
        least = _all(_LEAST_EXPONENT)
        x = build.select(build.fcmp_ordered("<", exponent, least), least, exponent)
        shifted = build.fadd(x, _all(_ROUNDING))
        fraction = build.fsub(x, build.fsub(shifted, _all(_ROUNDING)))
        *lower, power = (_all(c) for c in _POWER[self.unit])
        for coefficient in reversed(lower):
            power = build.call(self.fma, [power, fraction, coefficient])
        whole = build.shl(build.bitcast(shifted, _WORDS), _all(_EXPONENT_BITS, _WORDS))
        return build.bitcast(build.add(build.bitcast(power, _WORDS), whole), _FLOATS)

    def _keep(self, values: list[Any], buffer: Any, k: Any) -> list[Any]:
        """Write values of consecutive rows as words; return what these hold of them."""
        build = self.build
        words = [build.bitcast(value, _WORDS) for value in values]
        if self.unit == 2:
            # Cut, not rounded: numerator and denominator lose the same.
            cut = [build.and_(word, _all(-(1 << 16), _WORDS)) for word in words]
            values = [build.bitcast(word, _FLOATS) for word in cut]
            words = [
                build.or_(build.lshr(even, _all(16, _WORDS)), odd)
                for even, odd in zip(cut[::2], cut[1::2], strict=True)
            ]
        for n, word in enumerate(words):
            at = build.gep(buffer, [self._plus(k, n)], source_etype=_WORDS)
            build.store(word, at).align = 4 * LANES
        return values

    def _weigh(self, buffer: Any, table: _Table, offset: Any, count: Any, sums: list[Any]) -> None:
        """Add rows of a table, times the words kept."""
        build = self.build
        # Sums of a part first: their rounding is less than that of one long sum.
        parts = self._sums()
        with self._loop(count, 1) as k:
            weight = build.load(build.gep(buffer, [k], source_etype=_WORDS), typ=_WORDS)
            weight.align = 4 * LANES
            row = build.mul(build.add(offset, k), table.stride)
            for c, part in enumerate(parts):
                element = self._spread(table.address, self._plus(row, c), _WORD)
                build.store(self._product(self._load(part), weight, element), part)
        for part, whole in zip(parts, sums, strict=True):
            self._add(whole, self._load(part))

    def _product(self, added: Any, left: Any, right: Any) -> Any:
        """Add the product of one or two numbers per word."""
        build = self.build
        if self.unit == 2:
            pairs = (build.bitcast(words, _PairsOfBfloat16()) for words in (left, right))
            return build.call(self.dot_of_pairs, [added, *pairs])
        floats = (build.bitcast(words, _FLOATS) for words in (left, right))
        return build.call(self.fma, [*floats, added])

    def _tree(self, values: list[Any]) -> Any:
        """Sum of an even number of values, neighbours first."""
        while len(values) > 1:
            pairs = zip(values[::2], values[1::2], strict=True)
            values = [self.build.fadd(a, b) for a, b in pairs]
        return values[0]

    def _times(self, left: list[Any], right: list[Any]) -> list[Any]:
        return [self.build.fmul(a, b) for a, b in zip(left, right, strict=True)]

    def _rows(self, offset: Any, k: Any) -> list[Any]:
        """Pixels of the words k and behind, as many as are computed abreast."""
        first = self._scaled(self.build.add(offset, k), self.unit)
        return [self._plus(first, n) for n in range(self.unit * _ABREAST[self.unit])]

    # Memory

    def _begin(self, name: str, vectors: int, tables: int) -> tuple[list[Any], list[_Table], Any]:
        kinds = [_POINTER] * vectors + [_POINTER, _INDEX] * tables + [_INDEX]
        function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), kinds), name)
        self.build = ir.IRBuilder(function.append_basic_block())
        self.top = self.build.block
        *addresses, pixels = function.args
        pairs = addresses[vectors:]
        rows = [_Table(*pair) for pair in zip(pairs[::2], pairs[1::2], strict=True)]
        return addresses[:vectors], rows, pixels

    def _local(self, kind: Any, size: int = 1) -> Any:
        """Memory of the function; a single value of it becomes a register."""
        with self.build.goto_block(self.top):
            place = self.build.alloca(kind, size=size)
        place.align = 4 * LANES
        return place

    def _buffer(self) -> Any:
        return self._local(_WORDS, _BLOCK)

    def _sum(self, start: Any) -> Any:
        place = self._local(_FLOATS)
        self.build.store(start, place)
        return place

    def _sums(self) -> list[Any]:
        return [self._sum(_all(0.0)) for _ in range(self.width)]

    def _load(self, place: Any) -> Any:
        return self.build.load(place, typ=_FLOATS)

    def _add(self, place: Any, value: Any) -> None:
        self.build.store(self.build.fadd(self._load(place), value), place)

    def _vector(self, table: Any, first: Any) -> Any:
        vector = self.build.load(self.build.gep(table, [first], source_etype=_FLOAT), typ=_FLOATS)
        vector.align = 4
        return vector

    def _store(self, vector: Any, table: Any, first: Any) -> None:
        place = self.build.gep(table, [first], source_etype=_FLOAT)
        self.build.store(vector, place).align = 4

    def _spread(self, table: Any, at: Any, kind: Any) -> Any:
        """One word in all lanes."""
        build = self.build
        word = build.load(build.gep(table, [at], source_etype=kind), typ=kind)
        vector = ir.VectorType(kind, LANES)
        empty = ir.Constant(vector, ir.Undefined)
        filled = build.insert_element(empty, word, _WORD(0))
        return build.shuffle_vector(filled, empty, _all(0, _WORDS))

    def _turned(self, table: _Table, first: Any) -> list[Any]:
        """The words of 16 consecutive pixels, so that each pixel has its lane."""
        build = self.build
        scratch = self._local(_WORD, self.words * LANES)
        with self._loop(_INDEX(LANES), 1) as lane, self._loop(_INDEX(self.words), 1) as t:
            source = build.add(build.mul(build.add(first, lane), table.stride), t)
            word = build.load(build.gep(table.address, [source], source_etype=_WORD), typ=_WORD)
            target = build.add(self._scaled(t, LANES), lane)
            build.store(word, build.gep(scratch, [target], source_etype=_WORD))
        return [
            build.load(build.gep(scratch, [_INDEX(t)], source_etype=_WORDS), typ=_WORDS)
            for t in range(self.words)
        ]

    def _store_turned(self, vectors: list[Any], table: _Table, first: Any) -> None:
        """Write one row of elements for each lane."""
        build = self.build
        scratch = self._local(_FLOATS, len(vectors))
        for c, vector in enumerate(vectors):
            build.store(vector, build.gep(scratch, [_INDEX(c)], source_etype=_FLOATS))
        with self._loop(_INDEX(LANES), 1) as lane, self._loop(_INDEX(len(vectors)), 1) as c:
            source = build.add(self._scaled(c, LANES), lane)
            element = build.load(build.gep(scratch, [source], source_etype=_FLOAT), typ=_FLOAT)
            target = build.add(build.mul(build.add(first, lane), table.stride), c)
            build.store(element, build.gep(table.address, [target], source_etype=_FLOAT))

    # Control

    @contextmanager
    def _loop(self, count: Any, step: int) -> Iterator[Any]:
        """Count from 0 to below `count`, which is more than 0."""
        build = self.build
        before, body = build.block, build.append_basic_block()
        build.branch(body)
        build.position_at_end(body)
        index = build.phi(_INDEX)
        index.add_incoming(_INDEX(0), before)
        yield index
        after = self._plus(index, step)
        index.add_incoming(after, build.block)
        behind = build.append_basic_block()
        build.cbranch(build.icmp_signed("<", after, count), body, behind)
        build.position_at_end(behind)

    @contextmanager
    def _parts(self, pixels: Any) -> Iterator[tuple[Any, Any]]:
        """Go through the words of the other side; yield where a block begins, and its length."""
        build = self.build
        words = build.udiv(pixels, _INDEX(self.unit))
        with self._loop(words, _BLOCK) as offset:
            left = build.sub(words, offset)
            is_last = build.icmp_signed("<", left, _INDEX(_BLOCK))
            yield offset, build.select(is_last, left, _INDEX(_BLOCK))

    def _plus(self, value: Any, number: int) -> Any:
        return self.build.add(value, _INDEX(number))

    def _scaled(self, value: Any, number: int) -> Any:
        return self.build.mul(value, _INDEX(number))


def _all(value: float, kind: Any = _FLOATS) -> Any:
    """The same constant in all lanes."""
    return ir.Constant(kind, [value] * LANES)
