"""Run independent work in threads, give the results back in order, hold only a few of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int,
    *,
    ahead: int | None = None,
) -> Iterator[tuple[Item, Result]]:
    """Yield `(item, work(item))` in the order of `items`.

    At most `ahead` results (default: twice the workers) are under way or waiting, which bounds
    the memory. When the consumer stops early, work not yet begun is dropped.
    """
    limit = ahead if ahead is not None else 2 * workers
    pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="bandweave")
    pending: deque[tuple[Item, Future[Result]]] = deque()
    try:
        for item in items:
            pending.append((item, pool.submit(work, item)))
            if len(pending) > limit:
                first, future = pending.popleft()
                yield first, future.result()
        while pending:
            first, future = pending.popleft()
            yield first, future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
