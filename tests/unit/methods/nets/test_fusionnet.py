"""FusionNet against the tester, and what a difference as input implies."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch

from bandweave.methods.nets.fusionnet import FusionNet, FusionNetConfig
from unit.methods.nets.tester import NetworkTester


class TestFusionNet(NetworkTester):
    network = "fusionnet"
    settings: ClassVar = {"width": 6, "blocks": 2}
    ratios = (4, 2, 3)

    @pytest.mark.parametrize(("bands", "count"), [(8, 78_632), (4, 76_324)])
    def test_published_parameter_count(self, bands, count):
        assert sum(p.numel() for p in FusionNet(FusionNetConfig(bands=bands)).parameters()) == count

    def test_a_level_common_to_both_images_passes_through(self):
        """Only PAN - MS enters the network."""
        model = self.build().double()
        spatial, spectral, start = (image.double() for image in self.inputs(model))
        with torch.no_grad():
            fused = model(spatial, spectral, start)
            brighter = model(spatial + 0.3, spectral, start + 0.3)
        torch.testing.assert_close(brighter, fused + 0.3, rtol=0, atol=1e-12)

    def test_more_than_one_spatial_band_is_refused(self):
        with pytest.raises(ValueError, match="the one spatial band, got 3"):
            FusionNetConfig(bands=31, spatial_bands=3)
