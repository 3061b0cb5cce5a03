"""From simulated pairs to scenes to learn from: the unit range, and the network's start."""

from __future__ import annotations

import numpy as np

from bandweave.degrade.wald import ReducedPair
from bandweave.errors import ConfigError, ScaleError
from bandweave.methods.consistency import Consistency
from bandweave.methods.convention import require_blur
from bandweave.methods.preparation import estimates
from bandweave.methods.table import find_method
from bandweave.mosaic.runner import RunLimits, fit_method
from bandweave.pair import ImagePair
from bandweave.radiometry import Image, to_unit
from bandweave.source import ArraySource
from bandweave.train.layer import TileOperator
from bandweave.train.scene import TrainingScene
from bandweave.window import Window


class Starter:
    """Makes training scenes, and keeps the list of sensor models they were simulated with."""

    def __init__(self, base: str | None, consistency_noise: float | None, members: int = 1) -> None:
        """Settle what every scene starts from.

        Args:
            base: Key in METHODS, or None where the network starts from nothing.
            consistency_noise: λ of the consistency layer, which the base has to pass as well; None
                for no layer.
            members: Estimates of the base that the network is handed one by one.

        Raises:
            UnknownMethodError: There is no method of the base's name.
            ConfigError: The base is a network.
        """
        if base is not None and find_method(base).create is None:
            raise ConfigError(
                f"A network cannot start from the network {base!r}; name a closed form."
            )
        self._base = base
        self._noise = consistency_noise
        self._members = members
        self.operators: list[TileOperator] = []

    def scene(self, reduced: ReducedPair, name: str) -> TrainingScene:
        """Scale a simulated pair, and compute its base on the whole of it.

        Raises:
            ScaleError: The pair's full scale is not known.
            SensorModelError: A base or the consistency layer needs a sensor model, none is known.
        """
        pair = reduced.pair
        if pair.full_scale is None:
            raise ScaleError(f"The value that maps to 1.0 is not known for {name}; give its scale.")
        scale = pair.full_scale
        start = None if self._base is None else self.start(pair)

        def unit(image: Image) -> np.ndarray:
            return to_unit(np.asarray(image), scale).astype(np.float32)

        return TrainingScene(
            spatial=unit(pair.spatial),
            spectral=unit(pair.spectral),
            gt=unit(reduced.gt),
            ratio=pair.ratio,
            phase=pair.phase,
            start=None if start is None else unit(start),
            operator=self.operator(pair),
            name=name,
            valid=pair.valid,
        )

    def start(self, pair: ImagePair) -> Image:
        """Return what the network starts from `(M C, H, W)`, physical, consistent if asked."""
        assert self._base is not None
        create = find_method(self._base).create
        assert create is not None
        method = create()
        fitted = fit_method(method, ArraySource(pair), RunLimits(workers=1))
        step = None
        if self._noise is not None:
            blur = require_blur(pair.profile, "the consistency layer")
            response = None if pair.sensor is None else pair.sensor.response
            step = Consistency(blur, self._noise, response)
        return estimates(fitted, pair, Window.whole(pair.shape), self._members, step)

    def operator(self, pair: ImagePair) -> int:
        """Return the number of the pair's sensor model in the list, adding it if it is new."""
        if self._noise is None:
            return 0
        bands = pair.spectral.shape[0]
        wanted = TileOperator.of_sensor(pair.sensor, bands, pair.ratio, pair.phase)
        for k, known in enumerate(self.operators):
            if known.same_as(wanted):
                return k
        self.operators.append(wanted)
        return len(self.operators) - 1
