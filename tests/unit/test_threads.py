"""Work in threads: order, errors, and who does it."""

from __future__ import annotations

import threading

import pytest

from bandweave.threads import run_all


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_keep_their_order(workers):
    assert run_all([lambda k=k: k * k for k in range(20)], workers) == [k * k for k in range(20)]
    assert run_all([], workers) == []


def test_the_callers_thread_works_too():
    """Two calls that wait for each other need both threads, one of which is the caller's."""
    meeting = threading.Barrier(2, timeout=10)

    def meet():
        meeting.wait()
        return threading.current_thread()

    assert threading.main_thread() in run_all([meet, meet], 2)


def test_the_first_error_is_raised_and_ends_the_work():
    done = []

    def fail():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        run_all([fail, lambda: done.append(1)], 1)
    assert not done
