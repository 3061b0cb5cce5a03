"""How tests call the program, and what they expect where it refuses."""

from __future__ import annotations

from collections.abc import Callable

Run = Callable[..., tuple[int, str, str]]
"""Takes arguments, returns exit status, stdout and stderr: the fixture `run`."""


def refused(result: tuple[int, str, str], *words: str) -> None:
    """Check for exit 1, one plain sentence with these words, and no traceback."""
    status, out, err = result
    assert status == 1, err
    message = next(line for line in err.splitlines() if line.startswith("Error: "))
    assert "Traceback" not in err
    assert "unexpected" not in message, message
    for word in words:
        assert word in message, message
    assert not out
