"""PanNet against the tester, and what a high-pass input implies."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch

from bandweave.errors import ShapeError
from bandweave.methods.nets.pannet import PanNet, PanNetConfig
from unit.methods.nets.tester import NetworkTester


class TestPanNet(NetworkTester):
    network = "pannet"
    settings: ClassVar = {"width": 6, "blocks": 2}
    ratios = (4, 2, 6)

    @pytest.mark.parametrize(("bands", "count"), [(8, 83_024), (4, 77_640)])
    def test_published_parameter_count(self, bands, count):
        assert sum(p.numel() for p in PanNet(PanNetConfig(bands=bands)).parameters()) == count

    def test_the_level_of_both_images_does_not_matter(self):
        """Only details enter the network, so brightness passes through `start` alone."""
        model = self.build().double()
        spatial, spectral, start = (image.double() for image in self.inputs(model))
        with torch.no_grad():
            detail = model(spatial, spectral, start) - start
            brighter = model(spatial + 0.3, spectral + 0.2, start) - start
        torch.testing.assert_close(brighter, detail, rtol=0, atol=1e-12)

    def test_an_image_too_small_for_the_high_pass_is_refused(self):
        model = self.build()
        with pytest.raises(ShapeError, match="needs 3 rows and columns or more, got 2 x 3"):
            model(torch.rand(1, 1, 8, 12), torch.rand(1, 4, 2, 3), torch.rand(1, 4, 8, 12))

    def test_odd_ratios_are_refused(self):
        with pytest.raises(ValueError, match="an even ratio, got 3"):
            PanNetConfig(bands=4, ratio=3)
