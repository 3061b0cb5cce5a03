"""Run independent work in threads and give the results back in order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
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
                yield _first_done(pending)
        while pending:
            yield _first_done(pending)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _first_done(pending: deque[tuple[Item, Future[Result]]]) -> tuple[Item, Result]:
    """Wait for the first; by itself, so that the generator does not hold what it has given out."""
    item, future = pending.popleft()
    return item, future.result()


def run_all(calls: Sequence[Callable[[], Result]], workers: int) -> list[Result]:
    """Run independent calls, the caller's own thread among the `workers`; results in their order.

    Raises what a call raises, once the calls under way have ended.
    """
    results: dict[int, Result] = {}
    failed: list[BaseException] = []
    remaining = iter(enumerate(calls))
    lock = threading.Lock()

    def work() -> None:
        while not failed:
            with lock:
                item = next(remaining, None)
            if item is None:
                return
            try:
                results[item[0]] = item[1]()
            except BaseException as error:  # noqa: BLE001 (raised again in the caller's thread)
                failed.append(error)

    helpers = [
        threading.Thread(target=work, name="bandweave") for _ in range(min(workers, len(calls)) - 1)
    ]
    for helper in helpers:
        helper.start()
    work()
    for helper in helpers:
        helper.join()
    if failed:
        raise failed[0]
    return [results[index] for index in range(len(calls))]
