"""What the program asks of the C library and of the garbage collector."""

import gc
import subprocess
import sys

from bandweave.allocation import code_that_stays


def test_loaded_code_is_taken_from_the_garbage_collector() -> None:
    program = (
        "import gc; from bandweave.allocation import code_that_stays\n"
        "with code_that_stays():\n"
        "    assert not gc.isenabled()\n"
        "    import bandweave.window\n"
        "print(gc.isenabled(), gc.get_freeze_count() > 1000)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["True", "True"]


def test_where_nothing_was_left_to_load_nothing_happens() -> None:
    frozen = gc.get_freeze_count()
    with code_that_stays():
        pass
    assert gc.isenabled()
    assert gc.get_freeze_count() == frozen
