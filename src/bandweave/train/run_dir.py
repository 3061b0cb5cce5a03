"""The folder of a run: settings, checkpoints, log, weights. Rerunning goes on from what is there.

A checkpoint is a folder that gets its name when everything in it lies on the disk; whatever a kill
leaves half-written has another name and is removed by the next run.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors import SafetensorError

from bandweave.errors import ConfigError, DataWarning, OutputError
from bandweave.train.config import TrainConfig
from bandweave.train.run_lock import alone_in

_PARTIAL = ".partial"
_SAMPLED_BLOCKS, _BLOCK = 16, 2**20


@dataclass(frozen=True, slots=True)
class Progress:
    """Counters of a checkpoint."""

    step: int = 0
    """Steps done."""
    best: float | None = None
    """Best validation score so far, larger is better."""
    best_step: int = 0


class RunDir:
    """A run's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = path / "log.jsonl"

    @contextmanager
    def opened(self, config: TrainConfig, files: Sequence[Path]) -> Iterator[None]:
        """Create the folder, or make sure that it holds this very run on the same data.

        As long as nothing was computed, settings and data may change. What a kill left half-written
        is removed, so this is for the first process, before the others look into the folder. No
        other run can open it until the block ends.

        Args:
            config: Settings, kept in `config.json`.
            files: What is learned from; their content is remembered.

        Raises:
            ConfigError: The folder holds another run, or the data have changed.
            FolderInUseError: Another process is training in it.
            OutputError: The folder could not be written.

        Warns:
            DataWarning: A file too large to be compared whole was written since.
        """
        with alone_in(self.path):
            self._open(config, files)
            yield

    def _open(self, config: TrainConfig, files: Sequence[Path]) -> None:
        known = self.path / "config.json"
        prints = {str(path): fingerprint(path) for path in files}
        has_begun = bool(self._complete()) or (self.path / "best.safetensors").is_file()
        if not (known.is_file() and has_begun):
            with self.writing("The settings"):
                _write_beside(self.path / "data.json", json.dumps(prints, indent=1))
                _write_beside(known, config.model_dump_json(indent=1))
            self._tidy()
            return
        self._require_same(json.loads(known.read_text()), config)
        self._require_same_data(prints)
        self._tidy()

    def _tidy(self) -> None:
        for partial in self.path.glob(f"*{_PARTIAL}"):
            if partial.is_file():
                partial.unlink()
            else:
                shutil.rmtree(partial, ignore_errors=True)

    def _require_same_data(self, prints: dict[str, str]) -> None:
        record = self.path / "data.json"
        before = json.loads(record.read_text())
        for name in sorted(before.keys() | prints.keys()):
            if before.get(name) != prints.get(name):
                raise ConfigError(
                    f"The data of the run in {self.path} have changed since it began: {name}. Put "
                    "them back to go on, or begin anew with another --out."
                )
            found = Path(name).stat()
            is_whole = found.st_size <= _SAMPLED_BLOCKS * _BLOCK
            if not is_whole and found.st_mtime > record.stat().st_mtime:
                warnings.warn(
                    f"{name} was written after the run in {self.path} began. The samples of it "
                    "that are compared are the same; where others may have changed, begin anew "
                    "with another --out.",
                    DataWarning,
                    stacklevel=3,
                )

    def _require_same(self, before: dict[str, Any], config: TrainConfig) -> None:
        try:
            # Settings that came later have their defaults, which change nothing.
            known = TrainConfig.model_validate(before).model_dump(mode="json")
        except ValidationError:
            known = before
        now, then = _flat(config.model_dump(mode="json")), _flat(known)
        # What is said of a recipe may change while it runs; what is done may not.
        now.pop("about")
        then.pop("about", None)
        for key in sorted(now.keys() | then.keys()):
            if now.get(key) != then.get(key):
                raise ConfigError(
                    f"{self.path} holds a run with other settings: {key} was {then.get(key)!r} "
                    f"there and is {now.get(key)!r} now. Use another --out, or the old settings."
                )

    def checkpoint(self, step: int) -> Path:
        """Return the folder of a step's checkpoint."""
        return self.path / f"checkpoint-{step:08d}"

    def latest(self) -> tuple[Path, Progress] | None:
        """Return the newest complete checkpoint."""
        complete = self._complete()
        if not complete:
            return None
        newest = complete[-1]
        return newest, Progress(**json.loads((newest / "progress.json").read_text()))

    def _complete(self) -> list[Path]:
        return sorted(self.path.glob("checkpoint-????????"))

    @property
    def kept(self) -> str:
        """Say which checkpoint there is, as a part of a sentence."""
        complete = self._complete()
        if not complete:
            return "there is no checkpoint yet"
        return f"the checkpoint of step {int(complete[-1].name.rpartition('-')[2])} is kept"

    def partial_path(self, step: int) -> Path:
        """Return the folder in which a checkpoint is written before it gets its name."""
        return self.path / f"{self.checkpoint(step).name}{_PARTIAL}"

    @contextmanager
    def writing(self, what: str) -> Iterator[None]:
        """Turn what goes wrong while something is written into one sentence.

        Raises:
            OutputError: The disk is full, or the folder cannot be written.
        """
        try:
            yield
        except (OSError, RuntimeError, SafetensorError) as error:
            # torch and safetensors report a full disk each in their own way.
            stated = error.strerror if isinstance(error, OSError) else None
            reason = stated or " ".join(str(error).split()).removesuffix(".")
            raise OutputError(
                f"{what} could not be written to {self.path}: {reason}; {self.kept}, make room and "
                "run the same command again."
            ) from error

    def clear(self, folder: Path) -> None:
        """Make an empty folder."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()

    def complete(self, folder: Path, progress: Progress) -> None:
        """Give a checkpoint its name, and remove the ones before it."""
        final = self.checkpoint(progress.step)
        (folder / "progress.json").write_text(json.dumps(asdict(progress)))
        for path in (*folder.rglob("*"), folder):
            _sync(path)
        shutil.rmtree(final, ignore_errors=True)
        folder.rename(final)
        _sync(self.path)
        for old in self._complete():
            if old != final:
                shutil.rmtree(old, ignore_errors=True)

    def record(self, step: int, **values: Any) -> None:
        """Add a line to the log."""
        with self.writing("The log"), self.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")

    def forget_after(self, step: int) -> None:
        """Drop log lines of steps that will be done again."""
        if not self.log.is_file():
            return
        kept = []
        for line in self.log.read_text(encoding="utf-8").splitlines():
            # A kill may have cut the last line.
            with suppress(json.JSONDecodeError):
                if json.loads(line)["step"] <= step:
                    kept.append(line + "\n")
        with self.writing("The log"):
            _write_beside(self.log, "".join(kept))


def fingerprint(path: Path) -> str:
    """Return what tells a file from a changed one: its size, and a hash of its content.

    Of files beyond 16 MiB the hash takes in 16 samples of 1 MiB, evenly spread.
    """
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for k in range(_SAMPLED_BLOCKS):
            file.seek(max(size - _BLOCK, 0) * k // (_SAMPLED_BLOCKS - 1))
            digest.update(file.read(_BLOCK))
    return digest.hexdigest()


def _flat(content: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(content, dict):
        items = content.items()
    elif isinstance(content, list) and any(isinstance(item, dict) for item in content):
        items = dict(enumerate(content)).items()
    else:
        return {prefix: content}
    flat: dict[str, Any] = {}
    for key, value in items:
        flat |= _flat(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


def _write_beside(path: Path, text: str) -> None:
    beside = path.with_name(path.name + _PARTIAL)
    beside.write_text(text, encoding="utf-8")
    _sync(beside)
    beside.replace(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
