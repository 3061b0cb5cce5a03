"""A scene, a method fitted to it, and what was decided on the way: ready to run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bandweave.methods.base import Fitted, FixedTile, Local
from bandweave.mosaic.plan import TilePlan
from bandweave.mosaic.resume import RowStore
from bandweave.mosaic.runner import ArraySink, RunLimits, Sink, run_scene
from bandweave.progress import progress
from bandweave.radiometry import Image, Storage
from bandweave.source import PairSource
from bandweave.window import Window

if TYPE_CHECKING:
    from bandweave.degrade.identify import InstrumentEstimate
    from bandweave.methods.consistency import Consistency
    from bandweave.mosaic.consistent import ConsistencyEffect, ConsistentRows

Tell = Callable[[str], None]
"""Receives each decision as one sentence."""

# Above this many seconds a dry run names a faster method.
LONG = 600.0


@dataclass(frozen=True, slots=True)
class FuseReport:
    """What was done, in words and numbers; everything but times is reproducible."""

    method: str
    reason: str
    """Why this method."""
    shape: tuple[int, int, int]
    """Bands, rows and columns of the result."""
    ratio: int
    phase: tuple[float, float]
    """Fine index of coarse sample 0, displacement included."""
    out: str | None = None
    """File or folder that was written."""
    weights: str | None = None
    weights_sha256: str | None = None
    device: str | None = None
    precision: str | None = None
    """How a network's attention was rounded: `fp32` or `bf16`."""
    full_scale: float | None = None
    convention: str = "scene"
    """`toolbox` where a classical method was run as the MATLAB toolbox has it."""
    band_weights: tuple[float, ...] | Literal["equal"] | None = None
    """Weights of the bands in brovey's intensity where they were given and not fitted."""
    uncovered: tuple[str, ...] = ()
    """Bands that were interpolated and not fused, being far from the PAN's wavelengths."""
    pan_sigma: float | None = None
    """Blur that brought the PAN to the sharpness of the weights, in PAN pixels."""
    consistency: Consistency | None = None
    """The step that made the result consistent with the MS, or None."""
    effect: ConsistencyEffect | None = None
    """What that step changed."""
    instruments: InstrumentEstimate | None = None
    """Point spread and response where they were found from the pair, else None."""
    displacement: tuple[float, float] | None = None
    """Displacement that was corrected, in PAN pixels (rows, columns)."""
    images: int = 1
    """Pairs that were fused: more than one for sets."""
    seconds: float | None = None
    """Time of the run, statistics included; of a dry run, the estimate."""
    dry_run: bool = False
    notes: tuple[str, ...] = ()
    """What was found and decided on the way, one sentence each."""

    def as_dict(self) -> dict[str, Any]:
        """Return the report for JSON, with the rate."""
        content = {name: getattr(self, name) for name in self.__dataclass_fields__}
        if self.consistency is not None:
            content["consistency"] = asdict(self.consistency)
        if self.effect is not None:
            content["effect"] = self.effect.as_dict()
        if self.instruments is not None:
            content["instruments"] = self.instruments.as_dict()
        content["megapixels_per_second"] = self.megapixels_per_second
        return content

    def with_effect(self, effect: ConsistencyEffect | None) -> FuseReport:
        """Add what the consistency step changed."""
        if effect is None:
            return self
        return replace(self, effect=effect, notes=(*self.notes, effect.sentence))

    @property
    def megapixels_per_second(self) -> float | None:
        """Return fine pixels per second in millions."""
        if not self.seconds:
            return None
        return self.images * self.shape[1] * self.shape[2] / 1e6 / self.seconds


@dataclass(frozen=True, slots=True)
class Job:
    """A fitted method on an open scene."""

    fitted: Fitted
    fit: Callable[[], Fitted]
    """Makes `fitted` anew, from the same statistics: a network is not carried between processes."""
    source: PairSource
    precision: type[np.float32 | np.float64]
    window: Window
    limits: RunLimits
    report: FuseReport
    consistency: Consistency | None = None
    """The step behind the method, or None."""
    faster: Callable[[], tuple[str, float]] | None = field(default=None)
    """Names a faster method and its seconds for this scene; None where this is a fast one."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Let another process fit again what is fitted."""
        limits = replace(self.limits, cluster=None)
        parts = (self.fit, self.source, self.precision, self.window, limits)
        return _refitted, (*parts, self.report, self.consistency)

    @property
    def plan(self) -> TilePlan:
        """Return the tiles of the scene."""
        profile = self.source.profile
        return TilePlan.of(self.fitted.reach, profile.shape, profile.ratio)

    def run(
        self,
        sink: Sink,
        *,
        store: RowStore | None = None,
        stored: Storage | None = None,
        quiet: bool = False,
    ) -> ConsistencyEffect | None:
        """Fuse the window into the sink, with progress on stderr; see `run_scene`.

        Returns:
            What the consistency step changed, or None where there is none.
        """
        consistent = None if self.consistency is None else self._consistent(sink)
        window = self.window if consistent is None else consistent.needed
        with progress("Fusing", window.height * window.width, quiet=quiet) as advance:
            run_scene(
                self.fitted,
                self.source,
                sink if consistent is None else consistent,
                precision=self.precision,
                window=window,
                limits=self.limits,
                store=store,
                stored=stored if consistent is None else None,
                advance=advance,
            )
        return None if consistent is None else consistent.effect

    def finish(self, estimate: Image, sink: Sink) -> ConsistencyEffect:
        """Make an image consistent that the same method has fused of the whole scene before.

        Args:
            estimate: `(C, H, W)`, what the method gives without the step.
            sink: Receives what `run` would have given it.

        Returns:
            What the step changed.
        """
        consistent = self._consistent(sink)
        consistent.write_rows(estimate, None)
        return consistent.effect

    def _consistent(self, sink: Sink) -> ConsistentRows:
        from bandweave.mosaic.consistent import ConsistentRows  # noqa: PLC0415  # rarely asked for

        assert self.consistency is not None
        return ConsistentRows(
            self.consistency,
            self.source,
            sink,
            self.window,
            precision=self.precision,
            workers=self.limits.workers,
        )

    def estimate(self) -> tuple[float, tuple[str, ...]]:
        """Return the seconds the run will take and what there is to say about it."""
        # Late: dry runs only.
        from bandweave.mosaic.consistent import estimate_step_seconds  # noqa: PLC0415
        from bandweave.mosaic.estimate import count_tiles, estimate_seconds  # noqa: PLC0415

        seconds = 0.0
        window = self.window
        if self.consistency is not None:
            window = self._consistent(ArraySink()).needed
            seconds = estimate_step_seconds(
                self.consistency,
                self.source,
                precision=self.precision,
                window=self.window,
                workers=self.limits.workers,
            )
        seconds += estimate_seconds(
            self.fitted,
            self.source,
            precision=self.precision,
            window=window,
            limits=self.limits,
        )
        plan = self.plan
        notes = [f"{count_tiles(plan, window)} tiles, {_reach_in_words(self.fitted)}."]
        if seconds > LONG and self.faster is not None:
            name, quick = self.faster()
            notes.append(
                f"That is long: --method {name} takes about {in_words(quick)}, and --window "
                "fuses a part."
            )
        return seconds, tuple(notes)


def _refitted(fit: Callable[[], Fitted], *parts: Any) -> Job:
    """Make a job that came from another process."""
    return Job(fit(), fit, *parts)


def _reach_in_words(fitted: Fitted) -> str:
    match fitted.reach:
        case FixedTile(size=size, overlap=overlap, batch=batch):
            return f"{size} x {size} with {overlap} shared pixels, {batch} at a time"
        case Local(apron=apron):
            return f"blocks read with {apron} pixels of context"
        case _:
            return "the whole scene at once"


def in_words(seconds: float) -> str:
    """Return a duration as a person would say it."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"
