"""Write a file beside its final name and move it there when it is complete."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bandweave.errors import FusionError, OutputError, OutputExistsError


@contextmanager
def written_beside(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield a temporary name in the folder of `path`; rename it on success, remove it on failure.

    Raises:
        OutputExistsError: `path` exists and `overwrite` is False.
        OutputError: The system refused to write.
    """
    if path.exists() and not overwrite:
        raise OutputExistsError(f"{path} exists already; give --overwrite to replace it.")
    beside = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        beside.replace(path)
    except OSError as error:
        if isinstance(error, FusionError):
            raise
        raise OutputError(f"{path} could not be written: {error}.") from error
    finally:
        beside.unlink(missing_ok=True)
