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

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any, Literal

from bandweave.methods.nets.attention.vector_code import (
    FLOAT,
    FLOATS,
    INDEX,
    LANES,
    WORD,
    WORDS,
    Table,
    VectorCode,
    in_all,
)

Loop = Literal["forward", "by_query", "by_key"]

# Words of one side whose powers are kept at a time, in the innermost cache, and how many are
# computed side by side so that no product waits for the one before.
_BLOCK, _ABREAST = 64, {1: 4, 2: 2}

_lock = Lock()


def compiled_loop(loop: Loop, width: int, unit: int) -> Callable[..., None]:
    """Return a loop over all pairs of pixels of one head; it is compiled once, which takes 0.1 s.

    It takes addresses of vectors `(pixels,)`, then address and words from row to row of each table,
    then the number of pixels:

    * `forward`: starts of the scores, sums of the powers (added to); queries, keys, what is
      weighed; writes means.
    * `by_query`: starts of the scores with which the powers sum up to 1, starts of the slopes;
      queries, gradients, keys, values, keys as what is weighed; writes sums.
    * `by_key`: the same starts; keys, values, queries, gradients, both of these as what is weighed,
      gradients first; writes sums by value and by key.

    Args:
        loop: Which one.
        width: S; up to 16, what is added up stays in the processor's registers.
        unit: 2 for bfloat16, 1 for float32.
    """
    with _lock:  # several threads may begin at once
        return _compiled(loop, width, unit)


@cache
def _compiled(loop: Loop, width: int, unit: int) -> Callable[..., None]:
    writers: dict[Loop, type[_Forward | _ByQuery | _ByKey]]
    writers = {"forward": _Forward, "by_query": _ByQuery, "by_key": _ByKey}
    code = writers[loop](width, unit)
    code.write()
    return code.compiled()


class _Loops(VectorCode):
    """What the loops have in common."""

    def __init__(self, width: int, unit: int, vectors: int, tables: int) -> None:
        super().__init__(unit, vectors, tables)
        self.width, self.words = width, width // unit

    def _sums(self) -> list[Any]:
        return [self.sum_from(in_all(0.0)) for _ in range(self.width)]

    def _scores(self, lanes: list[Any], table: Table, rows: list[Any], *starts: Any) -> list[Any]:
        """Products of the pixels in the lanes with some rows, added to one start or one each."""
        sums = list(starts) if len(starts) > 1 else list(starts) * len(rows)
        firsts = [self.build.mul(row, table.stride) for row in rows]
        for t, lane in enumerate(lanes):
            for n, first in enumerate(firsts):
                word = self.spread(table.address, self.plus(first, t), WORD)
                sums[n] = self.product(sums[n], lane, word)
        return sums

    def _keep(self, values: list[Any], buffer: Any, k: Any) -> list[Any]:
        """Write values of consecutive rows as words; return what these hold of them."""
        build = self.build
        words = [build.bitcast(value, WORDS) for value in values]
        if self.unit == 2:
            # Cut, not rounded: numerator and denominator lose the same.
            cut = [build.and_(word, in_all(-(1 << 16), WORDS)) for word in words]
            values = [build.bitcast(word, FLOATS) for word in cut]
            words = [
                build.or_(build.lshr(even, in_all(16, WORDS)), odd)
                for even, odd in zip(cut[::2], cut[1::2], strict=True)
            ]
        for n, word in enumerate(words):
            at = build.gep(buffer, [self.plus(k, n)], source_etype=WORDS)
            build.store(word, at).align = 4 * LANES
        return values

    def _weigh(self, buffer: Any, table: Table, offset: Any, count: Any, sums: list[Any]) -> None:
        """Add rows of a table, times the words kept."""
        build = self.build
        # Sums of a part first: their rounding is less than that of one long sum.
        parts = self._sums()
        with self.loop(count, 1) as k:
            weight = build.load(build.gep(buffer, [k], source_etype=WORDS), typ=WORDS)
            weight.align = 4 * LANES
            row = build.mul(build.add(offset, k), table.stride)
            for c, part in enumerate(parts):
                element = self.spread(table.address, self.plus(row, c), WORD)
                build.store(self.product(self.load(part), weight, element), part)
        for part, whole in zip(parts, sums, strict=True):
            self.add(whole, self.load(part))

    def _times(self, left: list[Any], right: list[Any]) -> list[Any]:
        return [self.build.fmul(a, b) for a, b in zip(left, right, strict=True)]

    def _rows(self, offset: Any, k: Any) -> list[Any]:
        """Pixels of the words k and behind, as many as are computed abreast."""
        first = self.scaled(self.build.add(offset, k), self.unit)
        return [self.plus(first, n) for n in range(self.unit * _ABREAST[self.unit])]

    def _buffer(self) -> Any:
        return self.local(WORDS, _BLOCK)

    @contextmanager
    def _parts(self) -> Iterator[tuple[Any, Any]]:
        """Go through the words of the other side; yield where a block begins, and its length."""
        build = self.build
        words = build.udiv(self.count, INDEX(self.unit))
        with self.loop(words, _BLOCK) as offset:
            left = build.sub(words, offset)
            is_last = build.icmp_signed("<", left, INDEX(_BLOCK))
            yield offset, build.select(is_last, left, INDEX(_BLOCK))


class _Forward(_Loops):
    """Mean of the rows of what is weighed, by the powers of 2 of the scores."""

    def __init__(self, width: int, unit: int) -> None:
        super().__init__(width, unit, 2, 4)

    def write(self) -> None:
        starts, totals = self.vectors
        queries, keys, weighed, means = self.tables
        buffer = self._buffer()
        with self.loop(self.count, LANES) as first:
            lanes, start = self.turned(queries, first, self.words), self.part(starts, first)
            total, sums = self.sum_from(self.part(totals, first)), self._sums()
            with self._parts() as (offset, count):
                with self.loop(count, _ABREAST[self.unit]) as k:
                    rows = self._rows(offset, k)
                    powers = [self.power(x) for x in self._scores(lanes, keys, rows, start)]
                    kept = self._keep(powers, buffer, k)
                    self.add(total, self.sum_of(kept))
                self._weigh(buffer, weighed, offset, count, sums)
            sum_of_powers = self.load(total)
            self.store(sum_of_powers, totals, first)
            quotients = [self.build.fdiv(self.load(one), sum_of_powers) for one in sums]
            self.store_turned(quotients, means, first)


class _ByQuery(_Loops):
    """Sums of keys by power times slope: pixels of the query are in the lanes."""

    def __init__(self, width: int, unit: int) -> None:
        super().__init__(width, unit, 2, 6)

    def write(self) -> None:
        starts, levels = self.vectors
        queries, gradients, keys, values, weighed, result = self.tables
        buffer = self._buffer()
        with self.loop(self.count, LANES) as first:
            lanes = (
                self.turned(queries, first, self.words),
                self.turned(gradients, first, self.words),
            )
            start, level = self.part(starts, first), self.part(levels, first)
            sums = self._sums()
            with self._parts() as (offset, count):
                with self.loop(count, _ABREAST[self.unit]) as k:
                    rows = self._rows(offset, k)
                    powers = [self.power(x) for x in self._scores(lanes[0], keys, rows, start)]
                    slopes = self._scores(lanes[1], values, rows, level)
                    self._keep(self._times(powers, slopes), buffer, k)
                self._weigh(buffer, weighed, offset, count, sums)
            self.store_turned([self.load(one) for one in sums], result, first)


class _ByKey(_Loops):
    """Sums of gradients by power, of queries by power times slope: keys are in the lanes."""

    def __init__(self, width: int, unit: int) -> None:
        super().__init__(width, unit, 2, 8)

    def write(self) -> None:
        starts, levels = self.vectors
        keys, values, queries, gradients, *weighed = self.tables[:6]
        results = self.tables[6:]
        buffers = self._buffer(), self._buffer()
        with self.loop(self.count, LANES) as first:
            lanes = self.turned(keys, first, self.words), self.turned(values, first, self.words)
            sums = [self._sums() for _ in results]
            with self._parts() as (offset, count):
                with self.loop(count, _ABREAST[self.unit]) as k:
                    rows = self._rows(offset, k)
                    start, level = (
                        [self.spread(vector, row, FLOAT) for row in rows]
                        for vector in (starts, levels)
                    )
                    scores = self._scores(lanes[0], queries, rows, *start)
                    powers = [self.power(x) for x in scores]
                    slopes = self._scores(lanes[1], gradients, rows, *level)
                    self._keep(powers, buffers[0], k)
                    self._keep(self._times(powers, slopes), buffers[1], k)
                for buffer, table, added in zip(buffers, weighed, sums, strict=True):
                    self._weigh(buffer, table, offset, count, added)
            for table, added in zip(results, sums, strict=True):
                self.store_turned([self.load(one) for one in added], table, first)
