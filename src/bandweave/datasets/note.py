"""What a `.mat` or `.h5` file says of itself beside its images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from bandweave.degrade.record import DegradationRecord
from bandweave.errors import UnknownSensorError
from bandweave.sensors import Sensor, find_sensor


@dataclass(frozen=True, slots=True)
class SetNote:
    """Scale, sensor and simulation as a file notes them; each None where it says nothing."""

    full_scale: float | None = None
    sensor: Sensor | None = None
    record: DegradationRecord | None = None

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> SetNote:
        """Read `full_scale`, `sensor` and `simulation`; what is not understood is passed over."""
        scale = said.get("full_scale")
        return cls(
            full_scale=None if scale is None else float(scale),
            sensor=_sensor(said.get("sensor")),
            record=_record(said.get("simulation")),
        )

    @property
    def phase(self) -> tuple[float, float] | None:
        """Return the phase of the simulation."""
        return None if self.record is None else self.record.phase


def _sensor(name: Any) -> Sensor | None:
    if name is None:
        return None
    try:
        return find_sensor(str(name))
    except UnknownSensorError:
        return None  # files name sensors freely; an unknown name is no reason to refuse the images


def _record(text: Any) -> DegradationRecord | None:
    if text is None:
        return None
    try:
        return DegradationRecord.model_validate_json(str(text))
    except ValidationError:
        return None  # another program's field of the same name, or a later version's
