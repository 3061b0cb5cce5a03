"""Settings from files and from the command line: read, changed, checked, one sentence if wrong."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, ValidationError

from bandweave.errors import ConfigError
from bandweave.train.config import TrainConfig

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Read a configuration from TOML.

    Args:
        path: File with the fields of `TrainConfig`.
        overrides: `key.inner=value`, see `with_overrides`.

    Raises:
        ConfigError: The file cannot be read, or a key or value is wrong.
    """
    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} could not be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no TOML file: {error}.") from error
    return _validated(_overridden(content, overrides), str(path))


def with_overrides(config: TrainConfig, overrides: Sequence[str]) -> TrainConfig:
    """Return a configuration with some values changed.

    Args:
        config: Where to start from.
        overrides: `key.inner=value`; the value is TOML, or text where it is none.

    Raises:
        ConfigError: There is no such key, or the value does not fit.
    """
    if not overrides:
        return config
    return _validated(_overridden(config.model_dump(mode="json"), overrides), config.name)


def _overridden(content: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise ConfigError(f"--set needs key=value, got {override!r}.")
        *outer, last = key.strip().split(".")
        inner: Any = content
        for name in outer:
            if isinstance(inner, list) and name.isdecimal() and int(name) < len(inner):
                inner = inner[int(name)]
                continue
            if not isinstance(inner, dict) or (name in inner and inner[name] is None):
                raise ConfigError(f"--set {key}: there is nothing called {name!r} to set within.")
            inner = inner.setdefault(name, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {key}: {outer[-1]!r} has no parts.")
        inner[last] = _value(text)
    return content


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return None if text.strip() in ("none", "null") else text


def _validated(content: Mapping[str, Any], source: str) -> TrainConfig:
    try:
        return TrainConfig.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"{source}: {_sentence(error.errors())}.") from error


def _sentence(errors: Sequence[ErrorDetails]) -> str:
    """Say what is wrong: a key that does not exist explains one that is missing."""
    order = {"extra_forbidden": 0, "missing": 1}
    error = min(errors, key=lambda one: order.get(one["type"], 2))
    where, siblings = _place(error["loc"])
    if error["type"] == "extra_forbidden":
        return f"there is no setting {where!r}; there are {', '.join(siblings)}"
    if error["type"] == "missing":
        missing = [_place(one["loc"])[0] for one in errors if one["type"] == "missing"]
        return f"settings are missing: {', '.join(missing)}"
    said = error["msg"].removeprefix("Value error, ")
    found = error["input"]
    got = "" if isinstance(found, dict | list | tuple) else f", got {found!r}"
    return f"{where or 'the configuration'}: {said}{got}"


def _place(location: tuple[int | str, ...]) -> tuple[str, list[str]]:
    """Return the key that a user writes for a setting, and the names that are known beside it."""
    sections: list[type[BaseModel]] = [TrainConfig]
    keys: list[str] = []
    for k, part in enumerate(location):
        tagged = [s for s in sections if "kind" in s.model_fields and _kind(s) == part]
        if tagged:
            # Which of several sections it is stands in pydantic's locations, not in the file.
            sections = tagged
            continue
        keys.append(str(part))
        if k + 1 < len(location) and isinstance(part, str):
            fields = [s.model_fields[part] for s in sections if part in s.model_fields]
            sections = [inner for field in fields for inner in _sections(field.annotation)]
    names = {name: None for section in sections for name in section.model_fields}
    return ".".join(keys), list(names)


def _kind(section: type[BaseModel]) -> Any:
    return section.model_fields["kind"].default


def _sections(annotation: Any) -> list[type[BaseModel]]:
    """Return the sections that an annotation allows."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [inner for part in get_args(annotation) for inner in _sections(part)]
