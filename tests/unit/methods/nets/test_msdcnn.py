"""MSDCNN against the tester."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch

from bandweave.methods.nets.msdcnn import MSDCNN, MsdCnnConfig
from bandweave.methods.nets.network import FusionNetwork
from unit.methods.nets.tester import NetworkTester


class TestMsdcnn(NetworkTester):
    network = "msdcnn"
    settings: ClassVar = {"deep_width": 12, "shallow_width": 6}
    ratios = (4, 2, 3)

    @pytest.mark.parametrize(("bands", "count"), [(8, 228_556), (4, 189_852)])
    def test_published_parameter_count(self, bands, count):
        assert sum(p.numel() for p in MSDCNN(MsdCnnConfig(bands=bands)).parameters()) == count

    def build(self, bands: int = 4, ratio: int | None = None) -> FusionNetwork:
        """Lift the result, as random weights alone seldom open the last ReLU."""
        model = super().build(bands, ratio)
        with torch.no_grad():
            model.shallow[-1].bias += 0.5
        return model

    def test_no_result_is_negative(self):
        model = super().build()
        with torch.no_grad():
            fused = model(*self.inputs(model))
        assert fused.min() == 0 < fused.max()

    @pytest.mark.parametrize(
        ("widths", "words"),
        [({"deep_width": 9}, "multiple of 6, got 9"), ({"shallow_width": 5}, "even, got 5")],
    )
    def test_widths_that_cannot_be_shared_are_refused(self, widths, words):
        with pytest.raises(ValueError, match=words):
            MsdCnnConfig(bands=4, **widths)
