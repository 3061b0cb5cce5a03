"""The mean of the best method of each family: they err in different places."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bandweave.methods.base import Fitted, Local, Method, fuse_part
from bandweave.methods.local_regression import LocalRegression
from bandweave.methods.mtf_glp import MtfGlpHpmR
from bandweave.methods.statistics import Features, Measurement, SceneStatistics
from bandweave.methods.substitution.bdsd import BdsdPc
from bandweave.methods.substitution.bt_h import BtH
from bandweave.pair import ImagePair, PairProfile
from bandweave.radiometry import Image
from bandweave.window import Window


@dataclass(frozen=True, slots=True)
class FittedClassicalEnsemble:
    """Local methods, each with everything settled."""

    fitted: tuple[Fitted, ...]
    reach: Local
    """The longest of theirs."""

    @property
    def count(self) -> int:
        """Return the number of methods M."""
        return len(self.fitted)

    def members(self, pair: ImagePair, core: Window) -> Iterator[Image]:
        """Return every method's result on a part of a pair; their mean is what `fuse` returns."""
        for member in self.fitted:
            yield fuse_part(member, pair, core)

    def fuse(self, pair: ImagePair) -> Image:
        """Return the mean of the results."""
        return self.fuse_core(pair, Window.whole(pair.shape))

    def fuse_core(self, pair: ImagePair, core: Window) -> Image:
        """Return the same of a part."""
        hrms = np.zeros((pair.spectral.shape[0], *core.shape), pair.spectral.dtype)
        for member in self.members(pair, core):
            hrms += member
        hrms /= self.count
        return hrms


@dataclass(frozen=True, slots=True)
class ClassicalEnsemble:
    """Mean of BT-H, MTF-GLP-HPM-R, BDSD-PC and local regression.

    F = 1/M Σ_k F_k. Component substitution takes all of the PAN's detail, multiresolution analysis
    what the instrument lost, BDSD what fits one scale further down, and local regression what the
    surroundings say. The squared error of the mean is the mean of theirs less how far they differ,
    which is much where they err in different places. A network can be handed the members one by
    one.

    One PAN, any number of bands, any whole ratio; MTF gains of the bands needed.

    Source: of each member as its class says; to average them is ours.
    """

    methods: tuple[Method, ...] = (BtH(), MtfGlpHpmR(), BdsdPc(), LocalRegression())
    """What is averaged: methods whose reach is `Local`."""
    id: str = "classical_ensemble"
    precision: type[np.float32 | np.float64] = np.float32

    def measurement(self, profile: PairProfile) -> Measurement | None:
        """Measure for all members in one pass.

        Raises:
            FusionError: The pair does not suit one of them.
        """
        of_members = [method.measurement(profile) for method in self.methods]
        measured = [one for one in of_members if one is not None]
        if not measured:
            return None

        def features(pair: ImagePair, core: Window) -> Features:
            return Features(
                core.cut(pair.spatial)[:0],
                core.coarse(pair.ratio).cut(pair.spectral)[:0],
                parts=(one.features(pair, core) for one in measured),
            )

        return Measurement(features, max(one.apron for one in measured))

    def fit(
        self, profile: PairProfile, statistics: SceneStatistics | None
    ) -> FittedClassicalEnsemble:
        """Settle each member by its own part of the sums.

        Raises:
            FusionError: The pair does not suit one of them.
        """
        parts = iter(() if statistics is None else statistics.parts)
        fitted = tuple(
            method.fit(profile, None if method.measurement(profile) is None else next(parts))
            for method in self.methods
        )
        return FittedClassicalEnsemble(fitted, Local(max(_apron(one) for one in fitted)))


def _apron(fitted: Fitted) -> int:
    assert isinstance(fitted.reach, Local)
    return fitted.reach.apron
