"""ResTFNet against the tester, and what its last layer does."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch

from bandweave.errors import ShapeError
from bandweave.methods.nets.restfnet import ResTFNet, RestfnetConfig
from unit.methods.nets.tester import NetworkTester


class TestRestfnet(NetworkTester):
    network = "restfnet"
    settings: ClassVar = {"width": 3}
    spatial_bands = 3
    ratios = (4, 2, 3)

    @pytest.mark.parametrize(
        ("bands", "spatial_bands", "count"), [(31, 3, 2_262_131), (8, 1, 2_241_660)]
    )
    def test_published_parameter_count(self, bands, spatial_bands, count):
        model = ResTFNet(RestfnetConfig(bands=bands, spatial_bands=spatial_bands))
        assert sum(p.numel() for p in model.parameters()) == count

    def test_negative_values_are_damped_to_a_quarter(self):
        """Untrained, the last PReLU has the slope 0.25."""
        model = self.build()
        with torch.no_grad():
            for parameter in model.head[0].parameters():
                parameter.zero_()
            model.head[0].bias.copy_(torch.tensor([0.4, -0.4, 0.0, -1.0]))
            fused = model(*self.inputs(model))
        expected = torch.tensor([0.4, -0.1, 0.0, -0.25])[:, None, None]
        torch.testing.assert_close(fused, expected.expand_as(fused))

    def test_sizes_have_to_fit_the_stride_and_the_ratio(self):
        model = self.build(ratio=3)
        assert model.stride == 12
        with pytest.raises(ShapeError, match="multiples of 12, got 24 x 18"):
            model(*self.inputs(model, (24, 18)))
