"""The base of configurations that are read from files: frozen, validated, unknown keys refused."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from bandweave.errors import ConfigError


class RunConfig(BaseModel):
    """Base of every run's configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def checked(cls, **options: Any) -> Self:
        """Validate options.

        Raises:
            ConfigError: One sentence that names the first wrong option.
        """
        try:
            return cls(**options)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"]) or "options"
            if first["type"] == "extra_forbidden":
                raise ConfigError(
                    f"There is no option {name!r}; valid ones are {', '.join(cls.model_fields)}."
                ) from None
            raise ConfigError(
                f"Option {name!r}: {first['msg']}, got {first.get('input')!r}."
            ) from None
