"""Files of JSON lines that are only ever appended to, and survive a kill at any moment."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from bandweave.errors import OutputError


def append_line(path: Path, content: Mapping[str, Any]) -> None:
    """Append a line; it is on the disk when this returns.

    A line that a killed process left half-written is ended first.

    Raises:
        OutputError: The file cannot be written.
    """
    line = json.dumps(content, ensure_ascii=False).encode() + b"\n"
    try:
        with path.open("ab+") as stream:
            if _ends_within_a_line(stream):
                line = b"\n" + line
            stream.write(line)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise OutputError(f"{path} could not be written: {error.strerror}.") from error


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects in a file, in its order; what is no whole line is passed over.

    Raises:
        OutputError: The file exists and cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(f"{path} could not be read: {error.strerror}.") from error
    for line in text.split("\n"):
        try:
            content = json.loads(line)
        except ValueError:
            continue
        if isinstance(content, dict):
            yield content


def _ends_within_a_line(stream: BinaryIO) -> bool:
    if stream.seek(0, os.SEEK_END) == 0:
        return False
    stream.seek(-1, os.SEEK_END)
    return stream.read(1) != b"\n"
