"""Checks of single options: each returns a value in the type asked for, or says what is expected.

By hand and not by pydantic, which takes as long to load as a fast method for ten megapixels;
configurations in files, which nest, use it (`run_config`).
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

Check = Callable[[Any], Any]
"""Returns the value in its type; raises ValueError or TypeError with what is expected."""


def optional(check: Check) -> Check:
    """Return a check that lets None pass."""
    return lambda value: None if value is None else check(value)


def text(value: Any) -> str:
    """Require a text."""
    if not isinstance(value, str):
        raise TypeError("a text is expected")
    return value


def matching(pattern: str, example: str) -> Check:
    """Return a check for a text of some pattern."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise ValueError(f"{example} is expected")
        return value

    return check


def flag(value: Any) -> bool:
    """Require True or False."""
    if not isinstance(value, bool):
        raise TypeError("true or false is expected")
    return value


def number(
    *, above: float | None = None, least: float | None = None, below: float | None = None
) -> Check:
    """Return a check for a number above a limit or from one on, and below another one."""
    stated = [
        words.format(limit)
        for words, limit in (
            (" above {:g}", above),
            (" of {:g} or more", least),
            (" below {:g}", below),
        )
        if limit is not None
    ]
    expected = f"a number{' and'.join(stated)} is expected"

    def check(value: Any) -> float:
        if isinstance(value, bool) or not hasattr(value, "__float__"):
            raise ValueError(expected)
        converted = float(value)
        is_inside = (
            (above is None or converted > above)
            and (least is None or converted >= least)
            and (below is None or converted < below)
        )
        if not is_inside:
            raise ValueError(expected)
        return converted

    return check


def whole(*, least: int | None = None) -> Check:
    """Return a check for a whole number, from a limit on."""
    expected = "a whole number is expected"
    if least is not None:
        expected = f"a whole number of {least} or more is expected"

    def check(value: Any) -> int:
        try:
            converted = operator.index(value)
        except TypeError:
            raise ValueError(expected) from None
        if isinstance(value, bool) or (least is not None and converted < least):
            raise ValueError(expected)
        return converted

    return check


def several(check: Check, count: int | None = None) -> Check:
    """Return a check for a list of values, of a fixed length or not empty; makes it a tuple."""

    def check_all(values: Any) -> tuple[Any, ...]:
        if not isinstance(values, list | tuple) or len(values) != (count or max(len(values), 1)):
            raise ValueError(f"{count or 'one or more'} values are expected")
        return tuple(check(value) for value in values)

    return check_all


def one_of(*words: str, otherwise: Check | None = None) -> Check:
    """Return a check for one of some words, or else for what another check takes."""
    listed = ", ".join(words)

    def check(value: Any) -> Any:
        if isinstance(value, str) and value in words:
            return value
        if otherwise is None:
            raise ValueError(f"one of {listed} is expected")
        try:
            return otherwise(value)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{listed}, or {error}") from None

    return check


def texts_by_text(value: Any) -> dict[str, str]:
    """Require texts by names."""
    if not isinstance(value, dict):
        raise TypeError("texts by names are expected")
    return {text(key): text(content) for key, content in value.items()}
