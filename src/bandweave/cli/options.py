"""Kinds of options that several commands share."""

from __future__ import annotations

from typing import Any

import click


class Numbers(click.ParamType[tuple[float, ...]]):
    """Comma-separated numbers of a fixed count."""

    def __init__(self, names: str, kind: type = float) -> None:
        self.name = names
        self._count = names.count(",") + 1
        self._kind = kind

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        """Split and convert, or say what was expected."""
        try:
            numbers = tuple(self._kind(part) for part in str(value).split(","))
        except ValueError:
            numbers = ()
        if len(numbers) != self._count:
            self.fail(f"expected {self.name}, got {value!r}", param, ctx)
        return numbers


def word_or_numbers(words: tuple[str, ...], names: str) -> Any:
    """Return a callback that takes one of some words, or numbers."""

    def convert(ctx: click.Context, param: click.Parameter, value: str | None) -> Any:
        if value is None or value in words:
            return value
        try:
            numbers = tuple(float(part) for part in value.split(","))
        except ValueError:
            numbers = ()
        if len(numbers) != names.count(",") + 1:
            raise click.BadParameter(
                f"expected {', '.join(words)} or {names}, got {value!r}", ctx, param
            )
        return numbers if len(numbers) > 1 else numbers[0]

    return convert


def key_values(
    ctx: click.Context, param: click.Parameter, value: tuple[str, ...]
) -> dict[str, str]:
    """Split KEY=VALUE options."""
    for text in value:
        if "=" not in text:
            raise click.BadParameter(f"expected KEY=VALUE, got {text!r}", ctx, param)
    return dict(text.split("=", 1) for text in value)


def list_of(kind: type, example: str, *, word: str | None = None) -> Any:
    """Return a callback that splits a list of any length, and takes a word in its place."""

    def convert(ctx: click.Context, param: click.Parameter, value: str | None) -> Any:
        if value is None or value == word:
            return value
        try:
            return tuple(kind(part) for part in value.split(","))
        except ValueError:
            raise click.BadParameter(f"expected {example}, got {value!r}", ctx, param) from None

    return convert
